"""The page's own server, and a trainer that no page is attached to: run by `bench_live.py`.

Reads lines and answers each with a line "ANSWER x":

    attached SECONDS   steps a second of the page's trainer, while the other one stands still
    alone SECONDS      steps a second of the other one, while the page's stands still
    slice PLANE        milliseconds until the other one's view holds a first slice on this plane
"""

import os
import sys
import threading
import time
from urllib.parse import parse_qsl

import numpy as np

from app.experiment import Experiment
from app.live import beside, worker
from app.live.trainer import Trainer
from app.main import app


def wait_until_idle(trainer: Trainer) -> None:
    """Until it has taken every command and done what is measured beside training."""
    while trainer._commands or trainer._has_work():
        time.sleep(0.01)


def rate(trainer: Trainer, seconds: float) -> float:
    """Steps a second of a trainer that is run for some seconds; counted by steps, not read."""
    trainer.run()
    begun, first = time.perf_counter(), trainer.view().last
    time.sleep(seconds)
    last, ended = trainer.view().last, time.perf_counter()
    trainer.pause()
    trainer.settled.wait()
    trainer.cancel()
    wait_until_idle(trainer)  # what it measures once it stands still would slow the other one
    return (last - first) / (ended - begun)


def ready(trainer: Trainer) -> Trainer:
    """The trainer, once its run is there."""
    while not trainer.view().begun:
        time.sleep(0.01)
    return trainer


def slice_after(trainer: Trainer, experiment: Experiment) -> float:
    """Milliseconds from asking for another plane to a whole first level of its slice."""
    maps = trainer.view().maps
    before = maps and maps.plane
    begun = time.perf_counter()
    trainer.adjust(experiment)
    while True:
        maps = trainer.view().maps
        if (
            maps
            and maps.plane is not before
            and maps.slice
            and np.isfinite(maps.slice.losses).all()
        ):
            return 1e3 * (time.perf_counter() - begun)
        time.sleep(0.001)


def serve(experiment: Experiment) -> None:
    alone: Trainer | None = None
    for line in sys.stdin:
        kind, value = line.split()
        alone = alone or Trainer(experiment, name="alone")
        own = ready(alone)
        if kind == "slice":
            if own.view().maps is None:
                own.compute_maps()
                wait_until_idle(own)
            print("ANSWER", slice_after(own, experiment.change(plane=value)), flush=True)
            wait_until_idle(own)
            continue
        if kind == "attached":
            (own,) = (w for w in worker._open if isinstance(w, Trainer) and w is not alone)
        print("ANSWER", rate(ready(own), float(value)), flush=True)
    os._exit(0)  # the server's own end waits for its pages


if __name__ == "__main__":
    # Maps come due at steps 100, 200, 400 and would fill single windows of either trainer.
    beside.maps_are_due = lambda _step: False
    experiment = Experiment.from_query(dict(parse_qsl(sys.argv[2])))
    threading.Thread(target=serve, args=(experiment,), daemon=True).start()
    app.run(config={"server.port": int(sys.argv[1]), "server.headless": True})
