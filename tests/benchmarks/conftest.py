"""The table at the end of a run of the benchmarks, and their number of threads."""

import os

import pytest
import torch

from .harness import Figure, ratio

FIGURES = pytest.StashKey[list[Figure]]()


def pytest_configure(config):
    config.stash[FIGURES] = []


@pytest.fixture(autouse=True)
def _threads():
    """As many threads as THREADS says, 2 where it says nothing: what the bounds are for."""
    before = torch.get_num_threads()
    torch.set_num_threads(int(os.environ.get("THREADS", "2")))
    yield
    torch.set_num_threads(before)


@pytest.fixture
def figure(benchmark, request):
    """`harness.ratio` for this test, whose answer goes into the table."""

    def measured(name, variants, **options):
        made = ratio(benchmark, name, variants, **options)
        request.config.stash[FIGURES].append(made)
        return made

    return measured


def pytest_terminal_summary(terminalreporter, config):
    figures = config.stash[FIGURES]
    if not figures:
        return
    threads = os.environ.get("THREADS", "2")
    load = os.getloadavg()[0]
    terminalreporter.section(f"figures, {threads} threads, load {load:.1f} at the end")
    line = "{:<52} {:>7} {:>8} {:>7} {:>8} {:>7}"
    titles = ("figure", "ratio", "bound", "x GEMM", "GFLOP/s", "rounds")
    terminalreporter.write_line(line.format(*titles))
    for made in figures:
        bound = f"{'>=' if made.at_least else '<='} {made.bound:g}"
        limit = "" if made.limit is None else f"{made.limit:.2f}"
        row = (made.name, f"{made.ratio:.3g}", bound, limit, f"{made.peak:.0f}", made.rounds)
        missed = "" if made.reached else "  missed"
        terminalreporter.write_line(line.format(*row) + missed)
