"""One fair gate for all workers of a server: short turns, in the order of asking."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

#: Seconds of a turn: long enough for a few steps.
TURN = 0.02
#: Seconds within which everybody gets a turn, as far as a step allows: a crowd's are shorter.
ROUND = 0.2


class Gate:
    """Lets at most `places` workers compute at a time: first come, first served, people before.

    Without it every worker thread fights for the interpreter lock, and the page's own thread
    starves; a plain lock would let one worker take it again and again. Who has a person's command
    to carry out goes to the front, once for each.

    Args:
        places: workers that compute at once, at least 1.
    """

    def __init__(self, places: int) -> None:
        self._lock = threading.Lock()
        self._free = places
        self._queue: OrderedDict[object, threading.Event] = OrderedDict()

    @contextmanager
    def turn(self, who: object, *, urgent: bool = False) -> Iterator[float]:
        """Wait for a place and hold it; the value is the moment by which to leave, in
        `time.perf_counter` seconds.

        Args:
            who: waits; in one turn at a time.
            urgent: to the front of the queue.
        """
        self._enter(who, urgent=urgent)
        try:
            yield time.perf_counter() + min(TURN, ROUND / (1 + len(self._queue)))
        finally:
            self._leave()

    def hurry(self, who: object) -> None:
        """Put `who` to the front of the queue, if it waits there."""
        with self._lock:
            if who in self._queue:
                self._queue.move_to_end(who, last=False)

    def _enter(self, who: object, *, urgent: bool) -> None:
        with self._lock:
            if self._free and not self._queue:
                self._free -= 1
                return
            ticket = self._queue[who] = threading.Event()
            if urgent:
                self._queue.move_to_end(who, last=False)
        ticket.wait()  # the place is handed over, never free for a late comer in between

    def _leave(self) -> None:
        with self._lock:
            if self._queue:
                self._queue.popitem(last=False)[1].set()
            else:
                self._free += 1


#: The gate of this process; one core stays free for the pages themselves.
GATE = Gate(max(1, (os.cpu_count() or 2) - 1))
