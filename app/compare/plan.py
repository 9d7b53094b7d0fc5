"""What is compared: experiments from the words of a command, a grid of them, and all refusals."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.compare.tuning import Grid
from app.experiment import ROUNDING, Experiment, ExperimentError
from demo_models.published import found
from demo_models.scenario import FROM_FILES

#: Settings that --grid may vary, by their names on the command line.
SETTINGS = {
    "scenario": "scenario",
    "bits": "bits",
    "batch": "batch",
    "steps": "steps",
    "lr": "lr",
    "lambda": "lgi_lambda",
    "k": "k",
    "sigma": "sigma",
}
#: The rates that are tried unless somebody names others. Momentum SGD needs larger ones than Adam.
RATES = Grid(1e-4, 1.0)
#: Cells of a grid at most.
MOST_CELLS = 1000


class PlanError(ValueError):
    """A comparison that can't be made; the text says what was found, expected and what to do."""


@dataclass(frozen=True)
class Plan:
    """One comparison.

    Args:
        experiment: scenario, lanes, seeds, settings, and the lane that others are compared with.
        rates: the grid that every lane's learning rate is chosen on; None: all train at the
            experiment's own.
        device: torch's name of it.
        cell: which settings of a grid this is, as (name, value); () for a single comparison.
    """

    experiment: Experiment
    rates: Grid | None
    device: str = "cpu"
    cell: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """The cell in words, "bits=2, batch=8", which is the name of its folder too."""
        return ", ".join(f"{name}={value}" for name, value in self.cell)


def plans(
    settings: Mapping[str, str],
    grid: Sequence[str],
    *,
    tune: bool,
    rates: str | None,
    device: str,
) -> list[Plan]:
    """One plan, or one for every cell of a grid.

    Args:
        settings: fields of `Experiment` as text, without those that were not given.
        grid: texts such as "bits=2,4,off".
        tune: whether each lane gets its own best learning rate.
        rates: "LOW:HIGH", or None for the default.
        device: "cpu", "cuda", "mps".

    Raises:
        PlanError: one sentence.
        DataError: a scenario's data are absent.
    """
    axes = [_axis(text) for text in grid]
    twice = [name for name, _ in axes if [other for other, _ in axes].count(name) > 1]
    if twice:
        raise PlanError(f"--grid names {twice[0]} twice; expected each setting once.")
    if tune and ("lr" in settings or any(name == "lr" for name, _ in axes)):
        raise PlanError("--tune lr chooses the learning rate and one was given; leave one out.")
    if rates is not None and not tune:
        raise PlanError("--rates is for --tune lr, which was not given; add it or leave it out.")
    chosen = _grid(rates) if tune else None
    _check_device(device)
    cells = list(itertools.product(*([(name, value) for value in values] for name, values in axes)))
    if len(cells) > MOST_CELLS:
        raise PlanError(f"--grid makes {len(cells):,} cells; expected at most {MOST_CELLS:,}.")
    made = [Plan(_experiment(settings, cell), chosen, device, cell) for cell in cells]
    for plan in made:  # before a folder is made and workers are started
        if plan.experiment.problem.data in FROM_FILES:
            found(plan.experiment.problem.data)
    if tune and made[0].experiment.seeds < 2:
        raise PlanError(
            "--tune lr leaves one seed out at a time and there is one; expected --seeds 2 or more."
        )
    return made


def _experiment(settings: Mapping[str, str], cell: Sequence[tuple[str, str]]) -> Experiment:
    given = dict(settings) | {SETTINGS[name]: value for name, value in cell}
    changes: dict[str, object] = dict(given)
    if given.get("bits") in ROUNDING.values():
        changes["bits"] = next(bits for bits, word in ROUNDING.items() if word == given["bits"])
    if "lanes" in given:
        names = [name.strip() for name in given["lanes"].split(",") if name.strip()]
        if len(set(names)) < len(names):
            raise PlanError(f"--lanes {given['lanes']!a} has one twice; give each once.")
        changes["lanes"] = tuple(names)
    scenario = {"scenario": changes.pop("scenario")} if "scenario" in changes else {}
    try:
        experiment = Experiment().change(**scenario).change(**changes)
        if "bits" in changes and experiment.problem.network is None:
            raise PlanError(
                f"Rounding (bits) is {given['bits']} and scenario {experiment.scenario} is an "
                "analytic function, which has nothing to round; leave it out."
            )
    except ExperimentError as error:
        where = ", ".join(f"{name}={value}" for name, value in cell)
        raise PlanError(f"In cell {where}: {error}" if where else str(error)) from None
    if "reference" in given and experiment.reference not in experiment.lanes:
        raise PlanError(
            f"--reference is {experiment.reference}, which is not among the lanes; expected one of "
            f"{', '.join(experiment.lanes)}."
        )
    if experiment.reference not in experiment.lanes:
        experiment = experiment.change(reference=experiment.lanes[0])
    return experiment


def _axis(text: str) -> tuple[str, list[str]]:
    name, equals, rest = text.partition("=")
    values = [value.strip() for value in rest.split(",") if value.strip()]
    if not equals or name not in SETTINGS or not values or len(set(values)) < len(values):
        raise PlanError(
            f"--grid is {ascii(text)[:80]}; expected NAME=VALUE,VALUE, each value once, with NAME "
            f"one of {', '.join(SETTINGS)}: --grid bits=2,4,off."
        )
    return name, values


def _grid(text: str | None) -> Grid:
    if text is None:
        return RATES
    low, _, high = text.partition(":")
    try:
        return Grid(float(low), float(high))
    except (ValueError, OverflowError) as error:
        if str(error).startswith("The rates"):
            raise PlanError(f"--rates is {ascii(text)[:40]}. {error}") from None
        raise PlanError(
            f"--rates is {ascii(text)[:40]}; expected LOW:HIGH, two numbers: 1e-4:1."
        ) from None


def _check_device(name: str) -> None:
    import torch

    here = ["cpu"]
    here += ["cuda"] if torch.cuda.is_available() else []
    here += ["mps"] if torch.backends.mps.is_available() else []
    if name.partition(":")[0] not in here:
        raise PlanError(
            f"--device is {ascii(name)[:40]}; this machine has {', '.join(here)}: choose one."
        )
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError):
        raise PlanError(
            f"--device is {ascii(name)[:40]}, which can't be used; expected one of "
            f"{', '.join(here)}."
        ) from None
