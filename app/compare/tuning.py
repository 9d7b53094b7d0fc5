"""Which learning rate is best for a lane: eight a decade near it, one seed always left out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

#: Rates a decade near the optimum, and how many of them one step of the coarse grid spans.
PER_DECADE, COARSE = 8, 4


@dataclass(frozen=True, eq=False)
class Scores:
    """How a lane did at one learning rate, on samples that it did not train on.

    Args:
        accuracy: (S,) of each seed, on the validation split; 0 for a function, which has none.
        loss: (S,) on the same samples; a function's own.
        diverged: (S,) whether the run was frozen on the way.
    """

    accuracy: np.ndarray
    loss: np.ndarray
    diverged: np.ndarray

    def rank(self, left_out: int) -> tuple[float, float, float]:
        """Less is better: seeds that diverged, then accuracy, then loss, without one seed."""
        kept = np.arange(len(self.loss)) != left_out
        loss = float(self.loss[kept].mean())
        return (
            float(self.diverged[kept].sum()),
            -float(self.accuracy[kept].mean()),
            loss if math.isfinite(loss) else math.inf,
        )


@dataclass(frozen=True)
class Grid:
    """The rates 10^(i/8) between two ends.

    Args:
        low, high: of the rates, above 0.

    Raises:
        ValueError: the ends are not two numbers in order with two rates between them.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        fits = math.isfinite(self.high) and 0.0 < self.low < self.high
        if not fits or self.last - self.first < 1:
            raise ValueError(
                f"The rates go from {self.low:g} to {self.high:g}; expected two numbers above 0, "
                "the larger one last, that are a quarter of a decade or more apart: 1e-4:1."
            )

    @property
    def first(self) -> int:
        """The lowest i."""
        return math.ceil(PER_DECADE * math.log10(self.low) - 1e-9)

    @property
    def last(self) -> int:
        """The highest i."""
        return math.floor(PER_DECADE * math.log10(self.high) + 1e-9)

    def coarse(self) -> list[int]:
        """Every fourth rate, and the last one."""
        return sorted({*range(self.first, self.last + 1, COARSE), self.last})

    def near(self, place: int) -> list[int]:
        """All rates from the coarse one before `place` to the one after it."""
        start, stop = max(self.first, place - COARSE), min(self.last, place + COARSE)
        return list(range(start, stop + 1))

    def at_edge(self, place: int) -> bool:
        """Whether the grid ends there, so that a better rate may lie beyond."""
        return place in (self.first, self.last)


def rate(place: int) -> float:
    """10^(i/8), to four digits."""
    return float(f"{10 ** (place / PER_DECADE):.4g}")


def best(scores: Mapping[int, Scores], among: Iterable[int], left_out: int) -> int:
    """The best of some rates by all seeds but one; the lower one where two are alike.

    Args:
        scores: of every rate that was tried.
        among: which of them may be chosen.
        left_out: index of the seed whose scores do not count, because it will train at the answer.
    """
    return min(among, key=lambda place: (*scores[place].rank(left_out), place))
