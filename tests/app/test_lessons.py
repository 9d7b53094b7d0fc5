"""Every figure that a lesson quotes is computed here from the lesson's own presets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from app.charts.figures import FIGURES, measured
from app.charts.spectrum import lane_spectra
from app.charts.table import difference
from app.experiment import Experiment
from app.lessons.lesson import PARTS, Lesson, lessons, parse
from app.link import Link, read_link
from app.live.maps import compute_maps
from app.live.measuring import measurements
from app.live.readings import Draws, RadiusCurves
from app.live.run import Run
from app.live.subject import Subject
from app.live.view import View
from app.setup import Setup
from demo_models.scenarios import SCENARIOS

QUESTIONS = [key for key in lessons() if key != "mistakes"]
NUMBER = re.compile(r"(?<![\w.])[−-]?\d+(?:\.\d+)?(?:e-?\d+)?(?![\w])")


def quoted(lesson: Lesson) -> list[tuple[float, float]]:
    """The measured figures of an answer, each as the interval that its words leave room for.

    Whatever is bold: "0.1 to 0.3" says just that, "0.17" all that is rounded to it. A rounded run
    is chaotic, so its figures are quoted as ranges: with weights that differ by 1e-6 at the start,
    as with another processor's order of sums, they came to lie anywhere within.
    """
    return [said(text) for text in re.findall(r"\*\*([^*]+)\*\*", lesson.part("Answer").text)]


def said(text: str) -> tuple[float, float]:
    low, _, high = text.replace("−", "-").removesuffix("%").partition(" to ")
    if high:
        return float(low), float(high)
    place = Decimal(low).as_tuple().exponent
    assert isinstance(place, int)
    half = Decimal(5).scaleb(place - 1)
    return float(Decimal(low) - half), float(Decimal(low) + half)


@pytest.mark.parametrize(
    ("text", "interval"),
    [
        ("0.1 to 0.3", (0.1, 0.3)),
        ("−30 to 20 %", (-30, 20)),
        ("0.17", (0.165, 0.175)),
        ("50 %", (49.5, 50.5)),
        ("2.1e-8", (2.05e-8, 2.15e-8)),
    ],
)
def test_a_figure_says_how_exact_it_is(text: str, interval: tuple[float, float]) -> None:
    assert said(text) == pytest.approx(interval)


def query_of(address: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(address).query))


def link_of(address: str) -> Link:
    return read_link(query_of(address))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """As the page trains: more would be another order of sums, and slower beside other work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def trained(address: str) -> tuple[Run, View]:
    """A preset of the lab at the step that it opens at."""
    link = link_of(address)
    run = _run(link.experiment.change(plane="pca", series="gradient", reference="adamw"), link.step)
    return run, View(link.experiment, "paused", **run.known())


@cache
def _run(experiment: Experiment, steps: int) -> Run:
    run = Run(experiment)
    for _ in range(steps):
        run.advance()
        run.record()
    return run


def table(address: str, title: str, group: str = "chatter") -> np.ndarray:
    """A column of the lab's table, (L, S); shares in percent, as the page has them."""
    _, view = trained(address)
    (figure,) = [figure for figure in FIGURES[group] if figure.title == title]
    return measured(figure, view) * (100 if figure.unit == " %" else 1)


def peak(address: str) -> float:
    """Where the spectrum that the lab draws of its first lane is highest."""
    _, view = trained(address)
    found = lane_spectra(view)[view.experiment.lanes[0]]
    assert found is not None
    return float(found.frequencies[found.density.argmax()])


def addresses(key: str) -> list[str]:
    return [address for _, address in lessons()[key].presets]


def check(key: str, found: list[float]) -> None:
    """Every measured figure is as it is quoted, and none is left over."""
    held = quoted(lessons()[key])
    assert len(held) == len(found)
    far = [
        (interval, value)
        for interval, value in zip(held, found, strict=True)
        if not interval[0] <= value <= interval[1]
    ]
    assert not far, f"quoted, measured: {far}"


# -- the text --------------------------------------------------------------------------------


@pytest.mark.parametrize("key", QUESTIONS)
def test_a_lesson_has_every_part(key: str) -> None:
    lesson = lessons()[key]
    assert lesson.title.endswith("?")
    assert tuple(part.title for part in lesson.parts) == PARTS
    assert all(part.text or part.presets for part in lesson.parts)
    assert len(lesson.part("Open").presets) >= 2
    assert quoted(lesson)


def test_the_first_mistakes_are_five_with_a_preset_each() -> None:
    parts = lessons()["mistakes"].parts
    assert len(parts) == 5
    assert all(part.text and part.presets for part in parts)


@pytest.mark.parametrize(
    ("key", "label", "address"),
    [(key, *preset) for key, lesson in lessons().items() for preset in lesson.presets],
)
def test_a_preset_is_a_whole_link_of_this_version(key: str, label: str, address: str) -> None:
    query = query_of(address)
    assert query.pop("v") == "1"
    if address.startswith("./instruments?"):
        Setup.from_query(query)
        return
    assert address.startswith("./?")
    link = read_link(query)
    assert link.message == ""
    assert link.step > 0
    # What is written is what a copied link would have: nothing superfluous, nothing misspelt.
    written = {name: value for name, value in query.items() if name in link.to_query()}
    assert written.keys() | {"v"} >= link.to_query().keys()


@pytest.mark.parametrize("key", QUESTIONS)
def test_a_number_in_an_answer_is_measured_or_a_setting(key: str) -> None:
    lesson = lessons()[key]
    text = re.sub(r"\*\*[^*]+\*\*", "", lesson.part("Answer").text)
    text = re.sub(r"`[^`]+`", "", text)
    asked = " ".join(part.text for part in lesson.parts if part.title != "Answer") + lesson.text
    settings = asked + " ".join(f"{label} {address}" for label, address in lesson.presets)
    known = {float(n.replace("−", "-")) for n in NUMBER.findall(settings.replace("=", " "))}
    known |= {0.0, 1.0, float(SCENARIOS["digits-2bit"].lr)}
    loose = {n for n in NUMBER.findall(text) if float(n.replace("−", "-")) not in known}
    assert not loose


def test_a_file_without_a_question_is_refused() -> None:
    with pytest.raises(ValueError, match="bad begins with 'Hello'; expected '# ' and the question"):
        parse("bad", "Hello\n\n## Answer\n")


# -- the figures ------------------------------------------------------------------------------


def test_how_fast_it_chatters() -> None:
    at = addresses("chatter")
    flips = [float(table(address, "Gradient flips")[0, 0]) for address in at]
    peaks = [peak(address) for address in at[:3]]
    check("chatter", [*flips[:3], *peaks, *flips[3:]])
    # They did travel: both are nearer to the minimum than the start was along the floor.
    for address in at[3:]:
        run, _ = trained(address)
        assert float(run.ensemble.theta[0, 0]) > -1.1


def test_where_lgi_is_high() -> None:
    lgi, asymmetry = [], []
    for address in addresses("lgi"):
        setup = Setup.from_query(query_of(address))
        draws: Draws = last(setup, "draws")
        place = list(draws.ks).index(setup.k)
        lgi.append(float(draws.mean["lgi"][place]))
        asymmetry.append(float(draws.mean["asymmetry"][place]))
    check("lgi", [*lgi, *asymmetry])
    assert lgi[0] > lgi[1] > lgi[2]


def test_roughness_over_the_radius() -> None:
    small, growth = [], []
    for address in addresses("kink_or_jump"):
        setup = Setup.from_query(query_of(address))
        curves: RadiusCurves = last(setup, "radii")
        near = int(np.flatnonzero(np.isclose(curves.curves.radii, 0.01))[0])
        far = int(np.flatnonzero(np.isclose(curves.curves.radii, 0.16))[0])
        assert curves.curves.fourth_resolved[0, [near, far]].all()
        ratio = curves.curves.ratio[0]
        small.append(float(ratio[near]))
        growth.append(float(ratio[far] / ratio[near]))
    check("kink_or_jump", [*small, *growth])


def last(setup: Setup, name: str):
    """A result of the bench's measurements, once it is complete."""
    found = None
    for news in measurements(Subject.of(setup), setup):
        found = news.get(name, found)
        if name == "radii" and news.get("working") == "the draws":
            break
    assert found is not None
    return found


def test_geometry_or_a_smaller_step() -> None:
    every, *rates = addresses("geometry")
    lanes = trained(every)[1].experiment.lanes
    jumps = table(every, "Loss jump per step")
    mean = dict(zip(lanes, jumps.mean(1), strict=True))
    accuracy = {}
    for address in (every, *rates):
        experiment = link_of(address).experiment
        assert experiment.lanes[:2] == ("adamw", "sadam")
        accuracy[experiment.lr] = table(address, "Test accuracy")[:2].mean(1)
    best = [max(accuracy, key=lambda lr, lane=lane: accuracy[lr][lane]) for lane in (0, 1)]
    found = [mean[key] for key in ("adamw", "sadam", "smaller", "swapped", "random-law")]
    found += [*accuracy[0.01], *(accuracy[lr][lane] for lane, lr in enumerate(best))]
    check("geometry", found)
    # "Of the learning rates either is best at 0.01 or at 0.03."
    assert set(best) <= {0.01, 0.03}
    # "Of these three the page says: no difference seen": it would of two of them by chance alone in
    # one of 36 runs, and of all three in one of 1000.
    controls = [lanes.index(key) for key in ("smaller", "swapped", "random-law")]
    seen = [difference(jumps, control, lanes.index("sadam")).sign for control in controls]
    assert seen.count(0) >= 1
    # "What calms the loss is that the step is smaller": they stand with S-Adam, far from AdamW.
    for control in controls:
        assert abs(mean[lanes[control]] - mean["sadam"]) < 0.2 * (mean["adamw"] - mean["sadam"])


def test_noise_or_rounding() -> None:
    at = addresses("noise_or_rounding")
    # The answer's order: neither, noise, rounding, both, which is that of the presets.
    names = ("Power above {mark}", "Promise kept", "Rose though a fall was promised")
    found = [[float(table(address, name)[0, 0]) for address in at] for name in names]
    check("noise_or_rounding", [value for row in found for value in row])
    power, kept, broken = found
    assert power[0] < min(power[1:]), "the spectrum tells fast from slow"
    assert max(power[1:]) - min(power[1:]) < 20, "and not why"
    assert max(broken[:2]) < 15 < min(broken[2:])
    assert kept[0] > kept[1] > kept[2]


def test_what_the_plane_holds() -> None:
    shares, errors = [], []
    for address in addresses("plane"):
        run, view = trained(address)
        fidelity = next(
            maps.fidelity
            for maps in compute_maps(view.experiment, run, view.step)
            if maps.fidelity is not None
        )
        shares.append(100 * fidelity.variance_share)
        errors.append(fidelity.median_loss_error)
    check("plane", [*shares, *errors])


@pytest.mark.parametrize(
    "address",
    [a for key in lessons() for a in addresses(key) if a.startswith("./?") and key != "geometry"],
)
def test_every_preset_draws(address: str) -> None:
    from app.charts.board import line_parts

    run, view = trained(address)
    assert run.step == view.step == link_of(address).step
    assert line_parts(view)["spectrum"]["traces"]


# -- the page ---------------------------------------------------------------------------------


def test_the_page_shows_each_lesson_with_its_answer_folded() -> None:
    page = AppTest.from_function(_show)
    page.query_params["lesson"] = "lgi"
    page.run()
    assert not page.exception
    assert lessons()["lgi"].title in page.markdown[0].value
    assert [box.label for box in page.expander] == ["Answer"]
    page.radio[0].set_value("mistakes").run()
    assert not page.expander
    assert "First mistakes" in page.markdown[0].value


def _show() -> None:
    from app.views import lessons

    lessons.show()


def test_an_unknown_lesson_is_said() -> None:
    page = AppTest.from_function(_show)
    page.query_params["lesson"] = "<b>x"
    page.run()
    assert page.text[0].value.startswith("There is no lesson '<b>x'; expected one of chatter, lgi,")
