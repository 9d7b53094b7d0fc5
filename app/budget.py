"""How much one session may ask of a server: settings of the server, in its environment.

A page reads them through the ranges of its fields. The command line is not bound by them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


class BudgetError(ValueError):
    """More was asked for than the server allows; its text says how much, and what to do."""


@dataclass(frozen=True)
class Budget:
    """One setting.

    Args:
        variable: its name in the environment.
        fields: whose largest value it is; none for what no single field says.
        least: what the pages' defaults take, so that they always open.
        most: the largest value that makes sense.
        about: what it limits, for the documentation and for refusals.
    """

    variable: str
    fields: tuple[str, ...]
    least: int
    most: int
    about: str


GRID = Budget(
    "CHATTERSCOPE_MAX_GRID",
    ("slice_resolution", "map_resolution"),
    33,
    129,
    "points a side of slices and maps",
)
SEEDS = Budget("CHATTERSCOPE_MAX_SEEDS", ("seeds",), 4, 32, "seeds at once")
LANES = Budget("CHATTERSCOPE_MAX_LANES", ("lanes",), 3, 8, "optimizers at once")
STEPS = Budget("CHATTERSCOPE_MAX_STEPS", ("steps",), 20_000, 100_000, "steps of a run")
PARAMETERS = Budget(
    "CHATTERSCOPE_MAX_PARAMETERS",
    (),
    100_000,
    10**12,
    "parameters at once: those of the network times optimizers times seeds",
)
BUDGETS = (GRID, SEEDS, LANES, STEPS, PARAMETERS)

#: What the server allows: filled once, at its start.
_allowed: dict[Budget, int] = {}


def take_budgets(environment: Mapping[str, str]) -> None:
    """Hold every session to what this environment says.

    Raises:
        ValueError: a value is no whole number in its range.
    """
    found = {
        budget: _checked(budget, environment[budget.variable])
        for budget in BUDGETS
        if budget.variable in environment
    }
    _allowed.clear()
    _allowed.update(found)


def limit(name: str, high: float) -> tuple[float, str]:
    """The largest value of a field here, and what a refusal adds to it.

    Args:
        name: of the field.
        high: its largest value anywhere.

    Returns:
        `high` and "", or less and the words that say whose limit it is and what to do.
    """
    for budget, most in _allowed.items():
        if name in budget.fields and most < high:
            return most, f", {_whose(budget)}"
    return high, ""


def check_parameters(network: int, optimizers: int, seeds: int) -> None:
    """Hold what is trained at once to the server's budget.

    Args:
        network: parameters of one network.
        optimizers: that train it.
        seeds: of each optimizer.

    Raises:
        BudgetError: it is more.
    """
    total = network * optimizers * seeds
    if total > _allowed.get(PARAMETERS, total):
        raise BudgetError(
            f"{optimizers} optimizers and {seeds} seeds of {network:,} parameters are {total:,}; "
            f"expected at most {_allowed[PARAMETERS]:,}, {_whose(PARAMETERS)}."
        )


def _whose(budget: Budget) -> str:
    return (
        f"which is what this server allows a session ({budget.variable}): take less, or serve it "
        "yourself"
    )


def _checked(budget: Budget, text: str) -> int:
    whole = text.isascii() and text.isdecimal() and len(text) <= 13
    if not whole or not budget.least <= int(text) <= budget.most:
        raise ValueError(
            f"{budget.variable} is {ascii(text)[:40]}; expected a whole number from "
            f"{budget.least:,} to {budget.most:,}, {budget.about}: give one, or leave it out."
        )
    return int(text)
