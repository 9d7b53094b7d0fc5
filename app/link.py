"""A link to the lab: the experiment, the step to run to, and what a lesson hides."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any

from app.experiment import Experiment
from app.fields import VERSION

#: What can be hidden beside the fields themselves.
GROUPS = {
    "sidebar": "everything at the side, the way to other pages too",
    "pages": "the way to other pages",
    "probes": "Probes and points of the views",
    "buttons": "Run, Step, Reset and New seed",
    "maps": "Compute maps",
    "link": "Link",
}
FIELDS = tuple(item.name for item in fields(Experiment))


def said(refused: Collection[str]) -> str:
    """The sentences of a link's parts that were not taken, and what was done instead."""
    end = "The rest of the link is taken, the defaults elsewhere."
    return " ".join((*refused, end)) if refused else ""


def versioned(query: dict[str, str]) -> dict[str, str]:
    """A link's parameters with their version; none where all are at their defaults."""
    return {"v": str(VERSION)} | query if query else {}


@dataclass(frozen=True)
class Link:
    """What an address of the lab says.

    Args:
        experiment: all of it that was valid.
        step: to train to, then to pause at; 0 stays at the start.
        hide: names of fields and of `GROUPS` whose controls are not shown.
        refused: a sentence for each part that was not taken.
    """

    experiment: Experiment
    step: int = 0
    hide: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """What was not taken, and what was done instead; "" where all was."""
        return said(self.refused)

    def to_query(self) -> dict[str, str]:
        """The URL's parameters with their version; none for the default at its start."""
        query = self.experiment.to_query()
        if self.step:
            query["step"] = str(self.step)
        if self.hide:
            query["hide"] = ",".join(self.hide)
        return versioned(query)


def read_link(query: Mapping[str, Any]) -> Link:
    """Take whatever is valid of an address.

    Args:
        query: the URL's parameters; anything may be in them.
    """
    given, refused = dict(query), []
    step, hide = given.pop("step", "0"), given.pop("hide", "")
    experiment = Experiment.from_query(given, refused)
    most = experiment.steps
    # isdecimal alone takes digits of every script, and int() as many as there are.
    if not (step.isascii() and step.isdecimal() and len(step) <= 9 and int(step) <= most):
        refused.append(
            f"Step (step) is {ascii(step)[:60]}; expected a whole number from 0 to {most}, the "
            "steps of this experiment."
        )
        step = "0"
    names = tuple(dict.fromkeys(name for name in hide.split(",") if name))
    unknown = [name for name in names if name not in GROUPS and name not in FIELDS]
    if unknown:
        refused.append(
            f"Hidden (hide) has {ascii(unknown[0])[:60]}; expected names among "
            f"{', '.join((*GROUPS, *sorted(FIELDS)))}."
        )
    known = tuple(name for name in names if name not in unknown)
    return Link(experiment, int(step), known, tuple(refused))
