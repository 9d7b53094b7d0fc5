"""What a server does once, beside its start, so that the first session does not wait."""

from __future__ import annotations

import functools
import gc
import importlib
import sys


@functools.cache
def warm_up() -> None:
    """Import what training needs, then freeze the collector's view of it; only once a process.

    Streamlit collects garbage after every script run; with torch and plotly loaded that costs
    a fifth of a second, and nothing once their objects are frozen.
    """
    import torch

    for module in ("app.charts.board", "app.live.maps", "app.live.run"):
        importlib.import_module(module)

    # One thread a worker: two fall apart as soon as another process is busy.
    torch.set_num_threads(1)
    # The page's thread gets the interpreter lock within a millisecond, not five.
    sys.setswitchinterval(0.001)
    gc.collect()
    gc.freeze()
