"""The figures of a run's last steps: what the table's columns are, a number for every run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from app.live.view import View
from probes.oscillation import (
    cockpit_alpha,
    flip_rate,
    high_frequency_share,
    spectral_entropy,
    spectrum,
    total_variation,
)
from sadam.promises import broken_promises, loss_jump, promise_kept, relative_jump

#: Steps that most figures look back, and those that flips and spectra need.
RECENT, WINDOW = 50, 256


@dataclass(frozen=True)
class Rows:
    """One run's rows while it still trained: frozen is not calm.

    Args:
        view: the run's history at the step that is shown.
        lane: index of the lane.
        seed: index of the seed.
    """

    view: View
    lane: int
    seed: int

    @property
    def index(self) -> int:
        """Which of the R runs this is."""
        return self.lane * self.view.experiment.seeds + self.seed

    def last(self, name: str, rows: int) -> np.ndarray:
        """The last rows of a column without a gap, (T,) or (T, J); fewer in the thinned past."""
        last = self.view.unbroken(rows)
        values = self.view.columns[name][last, self.index]
        return values[self.view.trained(self.lane, self.seed)[last]]

    def now(self, name: str) -> float:
        """The value at the step that is shown."""
        return float(self.view.columns[name][-1, self.index])


@dataclass(frozen=True)
class Figure:
    """One column of the table.

    Args:
        title: its head.
        help: what it is and what it is measured on; {recent}, {window}, {samples}, {weights} and
            {mark} are filled in.
        measure: the number of one run, None or nan where there is nothing to state.
        unit: behind the number; " %" takes a share.
        better: -1 where less is better, 1 where more is, 0 where that is no question.
    """

    title: str
    help: str
    measure: Callable[[Rows], float | None]
    unit: str = ""
    better: int = 0


def _mean(values: np.ndarray) -> float | None:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else None


def _promise(measure: Callable[..., float | None]) -> Callable[[Rows], float | None]:
    return lambda run: measure(run.last("promised", RECENT + 1), run.last("got", RECENT + 1))


def _power_above(run: Rows) -> float | None:
    found = spectrum(run.last("gradient_projection", WINDOW))
    return None if found is None else high_frequency_share(found, run.view.experiment.mark)


def _entropy(run: Rows) -> float | None:
    found = spectrum(run.last("gradient_projection", WINDOW))
    return None if found is None else float(spectral_entropy(found.density))


def _alpha(run: Rows) -> float | None:
    loss, promised = run.last("loss", RECENT + 1), run.last("promised", RECENT + 1)
    after = run.last("slope_after", RECENT + 1)
    alpha = cockpit_alpha(loss[:-1], loss[1:], promised[:-1], after[1:])
    return _mean(alpha)


def _efficiency(run: Rows) -> float | None:
    length, straight = run.now("path_length"), run.now("distance")
    return straight / length if length > 0 else None


def _sharpness(run: Rows) -> float | None:
    if run.seed or not run.view.sharpness:
        return None
    known = [step for step in run.view.sharpness if step <= run.view.step]
    return float(run.view.sharpness[max(known)][run.lane]) if known else None


LOSS = Figure("Loss", "on the {samples}", lambda run: run.now("probe_loss"), better=-1)
ACCURACY = Figure(
    "Test accuracy", "on unseen samples", lambda run: run.now("accuracy"), " %", better=1
)
JUMP = Figure(
    "Loss jump per step",
    "mean |change| of that loss, last {recent} steps",
    lambda run: loss_jump(run.last("probe_loss", RECENT + 1)),
    better=-1,
)
FLIPS = Figure(
    "Gradient flips",
    "sign changes of {whose} projections from step to step, last {window} steps",
    lambda run: flip_rate(run.last("gradient_projection", WINDOW)),
    " %",
)
POWER_ABOVE = Figure(
    "Power above {mark}",
    "share of the spectrum of {whose} projections above the mark, in cycles a step",
    _power_above,
    " %",
)

#: Columns of the table by the group that a person chooses; see `app.experiment.TABLES`.
FIGURES: dict[str, tuple[Figure, ...]] = {
    "chatter": (
        LOSS,
        ACCURACY,
        JUMP,
        Figure(
            "relative",
            "that jump as a share of the mean loss",
            lambda run: relative_jump(run.last("probe_loss", RECENT + 1)),
            " %",
        ),
        Figure(
            "Rose though a fall was promised",
            "broken promises: share of the last {recent} steps that promised a fall",
            _promise(broken_promises),
            " %",
        ),
        Figure(
            "Promise kept",
            "sum of real / sum of promised change on the same batch, last {recent} steps",
            _promise(promise_kept),
            " %",
        ),
        Figure(
            "Weights changing level",
            "a step, of {weights} quantized weights, last {recent} steps",
            lambda run: _mean(run.last("levels_changed", RECENT)) if run.view.weights else None,
        ),
        FLIPS,
        POWER_ABOVE,
        Figure(
            "Mean damping",
            "mean of a, last {recent} steps",
            lambda run: _mean(run.last("damping", RECENT)),
        ),
    ),
    "cost": (
        LOSS,
        ACCURACY,
        Figure(
            "Path length",
            "sum of the lengths of all updates so far",
            lambda run: run.now("path_length"),
        ),
        Figure(
            "Path efficiency",
            "distance from the start / path length: 1 is a straight line; "
            "fair between runs of as many steps",
            _efficiency,
        ),
        Figure(
            "Total variation",
            "sum of |change| of the loss over the last {recent} steps",
            lambda run: float(total_variation(run.last("probe_loss", RECENT + 1))),
        ),
        Figure(
            "Learning rate × a",
            "mean effective learning rate, last {recent} steps",
            lambda run: _mean(run.last("effective_lr", RECENT)),
        ),
        Figure(
            "Forward passes",
            "that the optimizer itself spent so far, probes included",
            lambda run: run.now("forwards"),
        ),
    ),
    "oscillation": (
        LOSS,
        FLIPS,
        POWER_ABOVE,
        Figure(
            "Spectral entropy",
            "of {whose} projections, last {window} steps: 1 is white noise, 0 one tone",
            _entropy,
        ),
        Figure(
            "Update cosine",
            "of each update with the one before, mean of the last {recent} steps",
            lambda run: _mean(run.last("update_cosine", RECENT)),
        ),
        Figure(
            "Cockpit's α",
            "mean of the last {recent} steps: −1 stays, 0 steps to the minimum along the step, "
            "1 across to the same height; full batch only",
            _alpha,
        ),
        Figure(
            "Oscillating weights",
            "share of {weights} quantized weights that go back more often than once in 200 steps "
            "(Nagel et al. 2022)",
            lambda run: (
                float(run.view.columns["oscillating"][-1, run.index, 0])
                if run.view.weights
                else None
            ),
            " %",
        ),
        Figure(
            "Sharpness / limit",
            "largest eigenvalue of the (preconditioned) Hessian of {whose} loss on the {samples}, "
            "as a share of the optimizer's stability limit; first seed, computed with the maps",
            _sharpness,
        ),
    ),
}


def measured(figure: Figure, view: View) -> np.ndarray:
    """A figure of every run, (L, S); nan where there is nothing to state.

    Args:
        figure: one of `FIGURES`.
        view: the run at the step that is shown.
    """
    lanes, seeds = len(view.experiment.lanes), view.experiment.seeds
    values = [
        [figure.measure(Rows(view, lane, seed)) for seed in range(seeds)] for lane in range(lanes)
    ]
    return np.array([[np.nan if v is None else v for v in row] for row in values], dtype=float)


def words(text: str, view: View) -> str:
    """A figure's title or help with the run's own numbers filled in."""
    return text.format(
        recent=RECENT,
        window=WINDOW,
        samples=f"{view.samples} fixed samples" if view.samples else "function itself",
        weights=f"{view.weights:,}",
        mark=f"{view.experiment.mark:g}",
        whose="the surrogate gradient's" if view.weights else "the gradient's",
    )
