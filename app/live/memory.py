"""Memory that a session has let go goes back to the machine at once."""

from __future__ import annotations

import ctypes
import functools
import gc
import os
import sys
from collections.abc import Callable

#: Of malloc.h.
M_ARENA_MAX = -8


def give_back() -> None:
    """Collect what only circles hold, and let the allocator return its free pages.

    glibc keeps freed pages of small arrays for itself, in an arena a thread: with sessions that
    come and go a server would seem to grow.
    """
    gc.collect()
    _trim()()


def share_arenas() -> None:
    """Let all threads share one arena a core; call it before the first thread begins.

    glibc would give each of many threads its own, up to eight a core, and a page of an arena goes
    back only once all of it is free: over 800 sessions a server grew by 114 MB, with this by 11.
    """
    if allow := _glibc("mallopt"):
        allow(M_ARENA_MAX, max(2, os.cpu_count() or 1))


@functools.cache
def _trim() -> Callable[[], object]:
    trim = _glibc("malloc_trim")
    return (lambda: trim(0)) if trim else (lambda: None)


def _glibc(name: str) -> Callable[..., int] | None:
    """A function of the C library; None where that is another one."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
