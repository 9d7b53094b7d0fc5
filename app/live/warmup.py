"""What a server does once, beside its start, so that the first session does not wait."""

from __future__ import annotations

import functools
import gc
import importlib
import sys
import threading

#: What the pages import only when they are drawn, and where the digits come from.
MODULES = (
    "app.charts.board",
    "app.charts.instruments",
    "app.live.bench",
    "app.live.maps",
    "app.live.run",
    "sklearn.datasets",
)

#: Of `gc.set_threshold`: Python's own, but that all objects are looked at ten times as seldom. With
#: thirty sessions that takes 100 ms, was due every eight seconds, and finds next to nothing: what a
#: refresh leaves in circles is young, and what a session leaves is collected when its worker ends.
THRESHOLDS = (700, 10, 100)

#: Set while nothing more urgent is to be done: loading torch holds up everything for seconds.
_free = threading.Event()
_free.set()


def hold(seconds: float) -> None:
    """Let `warm_up` wait until `release`, or for some seconds."""
    _free.clear()
    timer = threading.Timer(seconds, release)
    timer.daemon = True
    timer.start()


def release() -> None:
    """Let `warm_up` begin: the first page is drawn, or cannot be without torch."""
    _free.set()


@functools.cache
def warm_up() -> None:
    """Import what training and instruments need, and freeze the collector's view of it.

    Only once a process. The first gradient of a process makes torch load a further 800 modules.

    A full collection costs a fifth of a second with torch and plotly loaded, and next to nothing
    once their objects are frozen.
    """
    _free.wait()
    # The page's thread gets the interpreter lock within a millisecond, not five.
    sys.setswitchinterval(0.001)

    import torch

    from probes.objective import Objective

    for module in MODULES:
        importlib.import_module(module)
    Objective.from_function(lambda points: points.sum(dim=1), torch.zeros(1))

    # One thread a worker: two fall apart as soon as another process is busy.
    torch.set_num_threads(1)
    gc.set_threshold(*THRESHOLDS)
    gc.collect()
    gc.freeze()
