"""What the score is, fixed before it was computed: functions, scores, directions and budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Score:
    """One way to call a point rough.

    Args:
        key: its name in the kept table.
        title: as the page calls it.
        measure: one of `probes.instability.MEASURES`, or "clarke".
        rough: which end means rough. It is fixed here and nowhere else: an AUC below 0.5 is a
            score that points the wrong way, and stays below 0.5.
        each: forward passes a direction; of a sampled gradient, three.
        once: forward passes a point besides.
        radii: where it measures, in units of r.
    """

    key: str
    title: str
    measure: str
    rough: Literal["high", "low"]
    each: int
    once: int = 1
    radii: tuple[float, ...] = (1.0,)

    @property
    def sign(self) -> int:
        """1 where high means rough, -1 where low does."""
        return 1 if self.rough == "high" else -1

    def draws(self, budget: int) -> int:
        """How many directions or gradients a budget of forward passes buys."""
        return (budget - self.once) // self.each

    def forwards(self, budget: int) -> int:
        """What they cost: `budget`, less a rest that buys no further one."""
        return self.each * self.draws(budget) + self.once


# Roughness and Hölder exponent pay for their noise floor, five passes a direction. The diameter
# pays for the gradient at the point, that its segments follow. The Hölder exponent is scored twice:
# within r, as all the others are, and from r to 4r, where instruments and maps take it by default.
SCORES = (
    Score("lgi", "LGI, the paper's instability", "lgi", "high", each=1),
    Score("variance", "Variance", "variance", "high", each=1),
    Score("asymmetry", "Asymmetry", "asymmetry", "high", each=2),
    Score("holder", "Hölder r/4 to r", "holder", "low", each=13, radii=(0.25, 0.5, 1.0)),
    Score("holder-wide", "Hölder r to 4r", "holder", "low", each=13, radii=(1.0, 2.0, 4.0)),
    Score("roughness", "Roughness", "roughness", "high", each=9),
    Score("clarke", "Clarke diameter", "clarke", "high", each=3, once=3),
)

#: The pairs that are told apart: what should score high, and what low.
PAIRS = (("kink", "smooth"), ("jump", "smooth"), ("jump", "kink"))


@dataclass(frozen=True)
class Protocol:
    """The numbers of the protocol.

    Args:
        functions: of each class.
        sizes: P, the numbers of parameters.
        distances: t, of kink and jump from the point in units of r/sqrt(P); None draws it for
            each function, uniform from 0 to 1.
        budget: forward passes a score may spend at a point. At 118 each spends 117 or 118.
        level: of the intervals.
        resamples: of the bootstrap.
        seeds: the first one's table is shown, the second one says whether it repeats.
    """

    functions: int = 200
    sizes: tuple[int, ...] = (2, 200)
    distances: tuple[float | None, ...] = (0.0, 0.5, None)
    budget: int = 118
    level: float = 0.90
    resamples: int = 2000
    seeds: tuple[int, ...] = (0, 1)

    @property
    def settings(self) -> list[tuple[int, float | None]]:
        """Every pair of P and t."""
        return [(size, distance) for size in self.sizes for distance in self.distances]


PROTOCOL = Protocol()
