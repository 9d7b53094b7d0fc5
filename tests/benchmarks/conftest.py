"""The table at the end of a run of the benchmarks, and their clock and number of threads."""

import os

import pytest
import torch

from .harness import CLOCK, THREADS, Figure, note, ratio

FIGURES = pytest.StashKey[list[Figure]]()
LOAD = pytest.StashKey[float]()


def pytest_configure(config):
    config.stash[FIGURES] = []
    config.stash[LOAD] = os.getloadavg()[0]


def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.benchmark(timer=CLOCK))


@pytest.fixture(autouse=True)
def _threads():
    """As many threads as THREADS says, 2 where it says nothing: what the bounds are for."""
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def figures(request):
    """The list of all figures, which becomes the table."""
    return request.config.stash[FIGURES]


@pytest.fixture
def figure(benchmark, figures):
    """`harness.ratio` for this test, whose answer goes into the table."""

    def measured(name, variants, **options):
        figures.append(ratio(benchmark, name, variants, **options))

    return measured


@pytest.fixture
def told(benchmark, figures):
    """Puts a figure that a test has made by itself into the table and the JSON."""

    def tell(made, **more):
        note(benchmark, made, **more)
        figures.append(made)

    return tell


def pytest_terminal_summary(terminalreporter, config):
    figures = config.stash[FIGURES]
    if not figures:
        return
    clock = "CPU time" if THREADS == 1 else "wall time"
    loads = f"load {config.stash[LOAD]:.1f} at the start, {os.getloadavg()[0]:.1f} at the end"
    machine = f"{os.cpu_count()} cores, {THREADS} threads, {clock}, torch {torch.__version__}"
    terminalreporter.section(f"{machine}, {loads}")
    line = "{:<54} {:>9} {:>8} {:>7} {:>7} {:>8} {:>7}  {}"
    titles = ("figure", "value", "bound", "x GEMM", "bound", "GFLOP/s", "rounds", "")
    terminalreporter.write_line(line.format(*titles).rstrip())
    for made in figures:
        sign = ">=" if made.at_least else "<="
        row = (
            made.name,
            "" if made.value is None else f"{made.value:.3g} {made.unit}".strip(),
            "" if made.bound is None else f"{sign} {made.bound:g}",
            "" if made.limit is None else f"{made.limit:.2f}",
            "" if made.limit_bound is None else f"<= {made.limit_bound:g}",
            "" if made.peak is None else f"{made.peak:.0f}",
            made.rounds or "",
            ", ".join([f"{what} missed" for what in made.missed] + [made.note] * bool(made.note)),
        )
        terminalreporter.write_line(line.format(*row).rstrip())
