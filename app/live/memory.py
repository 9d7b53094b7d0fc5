"""Memory that a session has let go goes back to the machine at once."""

from __future__ import annotations

import ctypes
import functools
import gc
import sys
from collections.abc import Callable


def give_back() -> None:
    """Collect what only circles hold, and let the allocator return its free pages.

    glibc keeps freed pages of small arrays for itself, in an arena a thread: with sessions that
    come and go a server would seem to grow.
    """
    gc.collect()
    _trim()()


@functools.cache
def _trim() -> Callable[[], object]:
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries have none
        if trim is not None:
            return lambda: trim(0)
    return lambda: None
