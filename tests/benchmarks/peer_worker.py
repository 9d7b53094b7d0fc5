"""One published package on one slice, in an environment of its own; run by `peers.py`.

    python peer_worker.py PACKAGE FOLDER THREADS

Reads FOLDER/work.pt, puts the slice's losses, indexed [b, a], into FOLDER/PACKAGE.npy, prints
"READY", and answers every line that it reads by "SECONDS x" of one slice. Imports nothing of ours.
"""

import contextlib
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional


def loss_landscapes(module, inputs, classes, axes, a, b):
    import loss_landscapes
    from loss_landscapes.metrics import Loss

    metric = Loss(functional.cross_entropy, inputs, classes)
    n, da, db = len(a), a[1] - a[0], b[1] - b[0]
    corner = moved(module, axes, a[0], b[0] - db)
    ends = moved(module, axes, a[0] + n * da, b[0] - db), moved(module, axes, a[0], b[-1])

    def evaluate():
        # It walks to and fro on the parameters that it is given, so it is given copies.
        made = loss_landscapes.planar_interpolation(
            corner, *ends, metric, steps=n, deepcopy_model=True
        )
        # Its odd rows are walked backwards from one step further on, by mistake.
        return np.where(np.arange(n)[:, None] % 2, np.nan, made).T

    return evaluate


def losscape(module, inputs, classes, axes, a, b):
    from losscape import create_landscape

    for drawing in ("contour", "clabel", "savefig", "clf"):  # the slice alone is timed
        setattr(create_landscape.plt, drawing, lambda *_, **__: None)

    def evaluate():
        _, _, losses = create_landscape.create_3D_losscape(
            module,
            [(inputs, classes)],
            directions=axes,
            save_only=True,
            output_h5=False,
            x_min=a[0],
            x_max=a[-1],
            y_min=b[0],
            y_max=b[-1],
            num_points=len(a),
        )
        return losses

    return evaluate


def loss_landscape_3d(module, inputs, classes, axes, a, b):
    from loss_landscape_3d import LossLandscapeCalculator

    names = [name for name, _ in module.named_parameters()]
    along = [dict(zip(names, axis, strict=True)) for axis in axes]
    centre = {name: value.clone() for name, value in module.state_dict().items()}
    calculator = LossLandscapeCalculator(module, [(inputs, classes)], functional.cross_entropy)
    return lambda: calculator.calculate(a, b, *along, centre).T


def moved(module, axes, a, b):
    """A copy of the module at coordinates of the plane."""
    import copy

    made = copy.deepcopy(module)
    with torch.no_grad():
        for p, x, y in zip(made.parameters(), *axes, strict=True):
            p.add_(a * x + b * y)
    return made


PEERS = {
    "loss-landscapes": loss_landscapes,
    "losscape": losscape,
    "loss-landscape-3d": loss_landscape_3d,
}


def main() -> None:
    package, folder, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    os.environ["MPLBACKEND"] = "Agg"
    torch.set_num_threads(threads)
    work = torch.load(folder / "work.pt", weights_only=True)
    module = nn.Sequential(
        nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)
    )
    module.load_state_dict(work["state"])
    a, b = work["a"].numpy(), work["b"].numpy()
    clock = time.process_time if threads == 1 else time.perf_counter
    evaluate = PEERS[package](module, work["inputs"], work["classes"], work["axes"], a, b)
    answers = sys.stdout
    with contextlib.redirect_stdout(Path(os.devnull).open("w")):  # one prints at every point
        losses = evaluate()
        np.save(folder / f"{package}.npy", losses)
        print("READY", file=answers, flush=True)
        for _ in sys.stdin:
            start = clock()
            evaluate()
            print("SECONDS", clock() - start, file=answers, flush=True)


if __name__ == "__main__":
    main()
