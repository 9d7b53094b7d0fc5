"""The colours are told apart from the page, and the glossary's references hold."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.charts.spec import STYLES
from app.experiment import MEASURES, STRIPS, TABLES
from app.glossary import ALIASES, TERMS, VIEWS

CSS = Path("app/grid/grid.css").read_text("utf-8")
#: Streamlit's backgrounds of the two themes.
BACKGROUNDS = {"light": "#ffffff", "dark": "#171614"}


def luminance(color: str) -> float:
    """Relative luminance of an sRGB colour, WCAG 2.2."""
    parts = (int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """(L1 + 0.05) / (L2 + 0.05), WCAG 2.2: 21 for black on white."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def colors(theme: str) -> dict[str, str]:
    """The lanes' colours of one theme, from the style sheet itself."""
    blocks = re.findall(r"^\.cs-grid[^{]*\{([^}]*--lane-adamw[^}]*)\}", CSS, re.MULTILINE)
    return dict(re.findall(r"--(lane-[\w-]+): (#\w{6})", blocks[list(BACKGROUNDS).index(theme)]))


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("theme", BACKGROUNDS)
def test_every_lane_reads_on_its_background(theme: str) -> None:
    found = colors(theme)
    assert {f"var(--{name})" for name in found} >= {style.color for style in STYLES.values()}
    low = {name: contrast(color, BACKGROUNDS[theme]) for name, color in found.items()}
    assert min(low.values()) >= 4.5, low  # names are text in these colours


def test_lanes_are_told_apart_without_colour() -> None:
    assert len({style.glyph for style in STYLES.values()}) == len(STYLES)
    assert len({style.symbol for style in STYLES.values()}) == len(STYLES)


def test_every_view_and_measure_has_its_terms() -> None:
    for views in VIEWS.values():
        for keys in views.values():
            assert set(keys) <= set(TERMS)
    assert set(MEASURES) <= set(TERMS)
    strips = {strip.removeprefix("along-") for strip in STRIPS}
    assert strips - ALIASES.keys() <= set(TERMS)
    assert set(TABLES) <= ALIASES.keys()
    assert {key for keys in ALIASES.values() for key in keys} <= set(TERMS)
    assert all(term.text and term.source for term in TERMS.values())
