"""What every file of a run is made from; loads without torch."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass, fields
from functools import cache
from importlib.metadata import version as installed
from typing import Any
from urllib.parse import urlencode

from app.experiment import VIEW, Experiment
from app.live.view import View
from app.score.kept import version
from sadam.lanes import LANES


@dataclass(frozen=True, eq=False)
class Taken:
    """A run as a person sees it.

    Args:
        view: at the step in view; it has begun.
        asked: the step that is looked back at; None follows the last one.
        query: parameters of the link that opens here.
        start: the checkpoint that every lane started from, in words; "" for initial weights.
        date: ISO, when it was taken.
    """

    view: View
    asked: int | None
    query: dict[str, str]
    start: str
    date: str

    @property
    def address(self) -> str:
        """The link without the lab's own address."""
        return f"?{urlencode(self.query)}"


def file_name(name: str, what: str, ending: str) -> str:
    """The name of a file of a run: letters, digits and dashes, as in export.js.

    Args:
        name: the run's, with the step in view.
        what: is in the file; "" for the run itself.
        ending: without the dot.
    """
    text = f"chatterscope {name} {what}".lower()
    return f"{re.sub(r'[^a-z0-9]+', '-', text).strip('-')}.{ending}"


@cache
def versions() -> dict[str, str]:
    """What the numbers were made with."""
    names = ("torch", "numpy", "plotly")
    own = {"chatterscope": version(), "python": platform.python_version()}
    return own | {name: installed(name) for name in names}


def settings(experiment: Experiment) -> list[list[str]]:
    """Every field by its label: what is trained, and what is drawn of it."""
    rows: dict[str, list[str]] = {"Training": [], "Views": []}
    for item in fields(experiment):
        row = rows["Views" if item.name in VIEW else "Training"]
        value = getattr(experiment, item.name)
        row.append(f"{item.metadata['label']}: {_words(item, value)}")
    return [[name, " · ".join(texts)] for name, texts in rows.items()]


def _words(item: Any, value: Any) -> str:
    if "options" in item.metadata:
        return item.metadata["options"][value]
    if item.name == "lanes":
        return ", ".join(LANES[key].title for key in value)
    if isinstance(value, tuple):
        return " to ".join(f"{part:.4g}" for part in value) or "all of it"
    return f"{value:g}" if isinstance(value, float) else str(value)
