"""Ratios taken side by side: every round runs all variants once, one after another."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

Run = Callable[[], object]

# Products large enough to run at the machine's peak, and enough of them to outlast a spike.
GEMM_SIDE = 1024
GEMM_TIMES = 5
GEMM_GFLOP = 2e-9 * GEMM_SIDE**3 * GEMM_TIMES


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        name: what is compared, "W1 slice / plain loop".
        ratio: the median over the rounds of one variant's time over the other's, same round.
        bound: what it must reach, (the most, or with at_least the least).
        at_least: whether more is better.
        limit: the variant's time as a multiple of the GEMM limit; None where that says nothing.
        peak: GFLOP/s of a large product in the same rounds.
        rounds: how many rounds.
    """

    name: str
    ratio: float
    bound: float
    at_least: bool
    limit: float | None
    peak: float
    rounds: int

    @property
    def reached(self) -> bool:
        """Whether the bound is kept."""
        return self.ratio >= self.bound if self.at_least else self.ratio <= self.bound


def interleaved(benchmark, variants: dict[str, Run], *, rounds: int) -> dict[str, list[float]]:
    """Times variants in turn, so that a busy machine slows all of them alike.

    Args:
        benchmark: pytest-benchmark's fixture; the first variant's times go into its JSON.
        variants: name -> what is timed; each is run once before, untimed.
        rounds: how often each is timed.

    Returns:
        Seconds of each variant, a list of one number a round, and of "gemm", some large products.
    """
    (first, measured), *others = variants.items()
    square = torch.ones(GEMM_SIDE, GEMM_SIDE)
    product = torch.empty_like(square)

    def products() -> None:
        for _ in range(GEMM_TIMES):
            torch.mm(square, square, out=product)

    others.append(("gemm", products))
    times: dict[str, list[float]] = {first: [], **{name: [] for name, _ in others}}
    for run in (measured, *(run for _, run in others)):
        run()

    def the_others() -> None:
        for name, run in others:
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)

    benchmark.pedantic(measured, setup=the_others, rounds=rounds)
    times[first] = list(benchmark.stats.stats.data)
    return times


def ratio(
    benchmark,
    name: str,
    variants: dict[str, Run],
    *,
    rounds: int,
    bound: float,
    at_least: bool = False,
    gflop: float | None = None,
) -> Figure:
    """The first variant's time over the second's, or with `at_least` the other way round.

    Args:
        benchmark: pytest-benchmark's fixture; the figure goes into its JSON as `extra_info`.
        name: of the figure.
        variants: as in `interleaved`, two of them.
        rounds: as in `interleaved`.
        bound: what it must reach. A figure that misses it is shown as such and fails nothing:
            the machine may be another one.
        at_least: for rates: the second variant's time over the first's.
        gflop: what the work would take as plain matrix products, for the multiple of the limit.
    """
    times = interleaved(benchmark, variants, rounds=rounds)
    own, other, gemm = (times[key] for key in (*variants, "gemm"))
    pairs = zip(other, own, strict=True) if at_least else zip(own, other, strict=True)
    limits = [t / g * GEMM_GFLOP / gflop for t, g in zip(own, gemm, strict=True)] if gflop else []
    made = Figure(
        name,
        statistics.median(x / y for x, y in pairs),
        bound,
        at_least,
        statistics.median(limits) if limits else None,
        GEMM_GFLOP / statistics.median(gemm),
        rounds,
    )
    benchmark.extra_info.update(
        vars(made), threads=torch.get_num_threads(), load=os.getloadavg()[0], seconds=times
    )
    return made
