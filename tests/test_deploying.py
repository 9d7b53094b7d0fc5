"""The Dockerfile holds what the page needs, and DEPLOY.md names the settings that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.budget import BUDGETS, Budget
from app.live.pulse import IDLE

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("app", "sadam", "probes", "demo_models")
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
COPIED = re.findall(r"^COPY (\S+) \S+$", DOCKERFILE, re.MULTILINE)
#: variable -> the rest of its row.
TABLE = dict(
    re.findall(
        r"^\| `(CHATTERSCOPE_\w+)` \|(.*)\|$",
        (ROOT / "app" / "DEPLOY.md").read_text("utf-8"),
        re.MULTILINE,
    )
)


def sources() -> list[str]:
    files = [path for room in PACKAGES for path in sorted((ROOT / room).rglob("*.py"))]
    return [path.read_text("utf-8") for path in files]


def test_the_image_holds_every_package_and_every_file_that_they_read_at_the_root() -> None:
    read = {name for text in sources() for name in re.findall(r'\bROOT / "([^"/]+)', text)}
    assert "CHANGELOG.md" in read
    assert {*PACKAGES, ".streamlit", "requirements.txt", *read} <= set(COPIED)
    assert all((ROOT / name).exists() for name in COPIED)


def test_the_builder_is_sent_what_the_dockerfile_copies() -> None:
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert "*" in lines
    sent = {line[1:].split("/")[0] for line in lines if line.startswith("!")}
    assert sent == set(COPIED)


def test_the_table_names_every_setting_and_no_other() -> None:
    named = {name for text in sources() for name in re.findall(r"\bCHATTERSCOPE_[A-Z_]+\b", text)}
    assert set(TABLE) == named


@pytest.mark.parametrize("budget", BUDGETS, ids=lambda budget: budget.variable)
def test_the_table_gives_a_budgets_words_and_range(budget: Budget) -> None:
    row = TABLE[budget.variable]
    assert budget.about in row
    assert f"{budget.least:,}" in row
    assert not budget.fields or f"{budget.most:,}" in row


def test_the_table_gives_the_idle_time() -> None:
    assert TABLE["CHATTERSCOPE_IDLE"].split("|")[1].strip() == f"{IDLE:g}"
