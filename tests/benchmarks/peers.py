"""`make bench PEERS=1`: published packages beside ours, on one slice of W1's network.

They live in an environment of their own, .benchmarks/peers, with our version of torch, made here at
the first time. Each runs in a process of its own, and a round asks all of them and ours in turn. A
package that cannot be installed or run has its reason in its row.
"""

import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from probes import loss_slice

from .harness import CLOCK, FULL, THREADS, Figure
from .peer_worker import PEERS
from .work import digits, mlp, sliced

HOME = Path(__file__).parents[2] / ".benchmarks" / "peers"
PYTHON = HOME / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
SIDE = 31 if FULL else 15
ROUNDS = 5
#: Relative: all of them add up a point's parameters in an order of their own.
AGREE = 1e-3


def said(error: subprocess.CalledProcessError) -> str:
    """The last line of what a command said, which names the error."""
    return ((error.stderr or "").strip().splitlines() or ["no reason given"])[-1]


def install(*packages: str) -> None:
    command = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*command, *packages], check=True, capture_output=True, text=True)


@pytest.fixture(scope="module")
def environment() -> None:
    """The environment of the packages, without them."""
    if not PYTHON.exists():
        subprocess.run([sys.executable, "-m", "venv", str(HOME)], check=True)
    install(f"torch=={torch.__version__.partition('+')[0]}", f"numpy=={np.__version__}")


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    """Our slice, as something to time, its losses, and the folder with the same work for others."""
    folder = tmp_path_factory.mktemp("peers")
    module, batch = mlp(), digits()
    objective, plane = sliced(module, batch)
    made = loss_slice(objective, plane, SIDE)
    axes = [
        [axis[e.start : e.stop].view(e.shape).clone() for e in objective.layout]
        for axis in plane.axes
    ]
    grid = {"a": torch.from_numpy(made.a), "b": torch.from_numpy(made.b)}
    work = {"state": module.state_dict(), "inputs": batch[0], "classes": batch[1], "axes": axes}
    torch.save(work | grid, folder / "work.pt")
    return lambda: loss_slice(objective, plane, SIDE), made.losses, folder


@pytest.mark.parametrize("package", PEERS)
def test_beside(package, environment, ours, benchmark, told):
    run, losses, folder = ours
    name = f"W1 slice {SIDE} x {SIDE}, {package} / ours"
    try:
        install(package)
    except subprocess.CalledProcessError as error:
        benchmark.pedantic(run, rounds=1)
        told(Figure(name, None, 0, note=f"not installed: {said(error)}"))
        return
    worker = str(Path(__file__).with_name("peer_worker.py"))
    command = [str(PYTHON), worker, package, str(folder), str(THREADS)]
    error_file = folder / f"{package}.txt"
    with (
        error_file.open("w") as errors,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        if process.stdout.readline().strip() != "READY":
            process.wait(60)
            reason = (error_file.read_text().strip().splitlines() or ["no reason given"])[-1]
            benchmark.pedantic(run, rounds=1)
            told(Figure(name, None, 0, note=f"does not run: {reason}"))
            return
        theirs, own = [], []

        def one_round() -> None:
            print("again", file=process.stdin, flush=True)
            theirs.append(float(process.stdout.readline().split()[1]))
            start = CLOCK()
            run()
            own.append(CLOCK() - start)

        benchmark.pedantic(one_round, rounds=ROUNDS)
    ratio = statistics.median(t / o for t, o in zip(theirs, own, strict=True))
    found = np.load(folder / f"{package}.npy")
    apart = np.nanmax(np.abs(found / losses - 1))
    known = f"losses agree to {apart:.0e}"
    known += "; its odd rows are shifted" if np.isnan(found).any() else ""
    told(Figure(name, ratio, ROUNDS, 1.0, at_least=True, note=known), theirs=theirs, ours=own)
    assert apart < AGREE, f"{package} computed another slice: {apart:.2g} apart"
