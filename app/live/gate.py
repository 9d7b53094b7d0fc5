"""One fair gate for all workers of a server: short turns, in the order of asking."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

#: Seconds of a turn: long enough for a few steps, short enough for twenty sessions at 2 Hz.
TURN = 0.02


class Gate:
    """Lets at most `places` workers compute at a time, first come, first served.

    Without it every worker thread fights for the interpreter lock, and the page's own thread
    starves; a plain lock would let one worker take it again and again.

    Args:
        places: workers that compute at once, at least 1.
    """

    def __init__(self, places: int) -> None:
        self._lock = threading.Lock()
        self._free = places
        self._queue: deque[threading.Event] = deque()

    @contextmanager
    def turn(self, seconds: float = TURN) -> Iterator[float]:
        """Wait for a place and hold it; the value is the moment by which to leave, in
        `time.perf_counter` seconds."""
        self._enter()
        try:
            yield time.perf_counter() + seconds
        finally:
            self._leave()

    def _enter(self) -> None:
        with self._lock:
            if self._free and not self._queue:
                self._free -= 1
                return
            ticket = threading.Event()
            self._queue.append(ticket)
        ticket.wait()  # the place is handed over, never free for a late comer in between

    def _leave(self) -> None:
        with self._lock:
            if self._queue:
                self._queue.popleft().set()
            else:
                self._free += 1


#: The gate of this process; one core stays free for the pages themselves.
GATE = Gate(max(1, (os.cpu_count() or 2) - 1))
