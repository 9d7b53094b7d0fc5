"""Figures taken side by side: every round runs all variants once, one after another."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch

Run = Callable[[], object]

FULL = bool(os.environ.get("FULL"))
THREADS = int(os.environ.get("THREADS", "2"))
# On one thread the processor's time, which other programs cannot lengthen by waiting.
CLOCK = time.process_time if THREADS == 1 else time.perf_counter

# Products large enough to run at the machine's peak, and enough of them to outlast a spike.
GEMM_SIDE = 1024
GEMM_TIMES = 5
GEMM_GFLOP = 2e-9 * GEMM_SIDE**3 * GEMM_TIMES
# Rounds stop being added once a figure would take longer, but for the fewest.
SECONDS = 90.0 if FULL else 15.0
FEWEST = 3


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        name: what is compared, "W1 slice / plain loop".
        value: the median over the rounds; without a unit one variant's time over the other's.
        rounds: how many rounds.
        bound: what it must reach, the most or with at_least the least; None: for comparison only.
        at_least: whether more is better.
        unit: "" for a ratio, else "ms".
        limit: the variant's time as a multiple of the GEMM limit; None where that says nothing.
        limit_bound: the most that this may be; None: for comparison only.
        peak: GFLOP/s of a large product in the same rounds; None where none was made.
        note: why there is no value, or what else is to be known.
    """

    name: str
    value: float | None
    rounds: int
    bound: float | None = None
    at_least: bool = False
    unit: str = ""
    limit: float | None = None
    limit_bound: float | None = None
    peak: float | None = None
    note: str = ""

    @property
    def missed(self) -> list[str]:
        """Which of its bounds it does not keep."""
        missed = []
        if self.value is not None and self.bound is not None:
            short = self.value < self.bound if self.at_least else self.value > self.bound
            missed += ["bound"] * short
        if self.limit is not None and self.limit_bound is not None:
            missed += ["x GEMM"] * (self.limit > self.limit_bound)
        return missed


def interleaved(benchmark, variants: dict[str, Run], *, rounds: int) -> dict[str, list[float]]:
    """Times variants in turn, so that a busy machine slows all of them alike.

    Args:
        benchmark: pytest-benchmark's fixture; the first variant's times go into its JSON.
        variants: name -> what is timed; each is run once before.
        rounds: how often each is timed, at most; fewer where that would take longer than SECONDS.

    Returns:
        Seconds of each variant, a list of one number a round, and of "gemm", some large products.
    """
    square = torch.ones(GEMM_SIDE, GEMM_SIDE)
    product = torch.empty_like(square)

    def products() -> None:
        for _ in range(GEMM_TIMES):
            torch.mm(square, square, out=product)

    (first, measured), *others = (variants | {"gemm": products}).items()
    times: dict[str, list[float]] = {name: [] for name in (*variants, "gemm")}
    begun = time.perf_counter()
    for run in (measured, *(run for _, run in others)):
        run()
    fitting = int(SECONDS / (time.perf_counter() - begun))

    def the_others() -> None:
        for name, run in others:
            start = CLOCK()
            run()
            times[name].append(CLOCK() - start)

    benchmark.pedantic(measured, setup=the_others, rounds=min(rounds, max(FEWEST, fitting)))
    times[first] = list(benchmark.stats.stats.data)
    return times


def ratio(
    benchmark,
    name: str,
    variants: dict[str, Run],
    *,
    rounds: int,
    bound: float | None = None,
    at_least: bool = False,
    gflop: float | None = None,
    limit_bound: float | None = None,
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
        limit_bound: the most that this multiple may be.
    """
    times = interleaved(benchmark, variants, rounds=rounds)
    own, other, gemm = (times[key] for key in (*variants, "gemm"))
    pairs = zip(other, own, strict=True) if at_least else zip(own, other, strict=True)
    limits = [t / g * GEMM_GFLOP / gflop for t, g in zip(own, gemm, strict=True)] if gflop else []
    made = Figure(
        name,
        statistics.median(x / y for x, y in pairs),
        len(own),
        bound,
        at_least,
        limit=statistics.median(limits) if limits else None,
        limit_bound=limit_bound,
        peak=GEMM_GFLOP / statistics.median(gemm),
    )
    note(benchmark, made, seconds=times)
    return made


def note(benchmark, made: Figure, **more: object) -> None:
    """Put a figure into pytest-benchmark's JSON."""
    benchmark.extra_info.update(
        asdict(made), threads=torch.get_num_threads(), load=os.getloadavg()[0], **more
    )
