"""One fair gate for all workers of a server: short turns, in the order of asking."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Seconds of a turn: long enough for a few steps.
TURN = 0.02
#: Seconds within which everybody gets a turn, as far as a step allows: a crowd's are shorter.
ROUND = 0.2
#: Seconds that all others stand aside for an answer to a person, who among thirty reads it within
#: 99 ms then and else within 176 (95th percentiles of Pause).
HUSH = 0.08
#: Seconds between two looks at what else is to be done while waiting.
MEANWHILE = 0.03
#: Seconds from one such moment to the next, so that pressing again and again stops nobody.
BETWEEN = 0.3


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
        self._hushed_until = -BETWEEN

    @contextmanager
    def turn(
        self,
        who: object,
        *,
        urgent: bool = False,
        meanwhile: Callable[[], object] | None = None,
    ) -> Iterator[float]:
        """Wait for a place and hold it; the value is the moment by which to leave, in
        `time.perf_counter` seconds.

        Args:
            who: waits; in one turn at a time.
            urgent: to the front of the queue.
            meanwhile: called now and then while it waits; what it raises ends that.
        """
        self._enter(who, urgent=urgent, meanwhile=meanwhile)
        try:
            if not urgent:
                self.stand_aside()
            yield time.perf_counter() + min(TURN, ROUND / (1 + len(self._queue)))
        finally:
            self._leave()

    def hurry(self, who: object) -> None:
        """Put `who` to the front of the queue, if it waits there."""
        with self._lock:
            if who in self._queue:
                self._queue.move_to_end(who, last=False)

    def hush(self) -> None:
        """Let all others stand aside for a moment: somebody waits for an answer."""
        now = time.perf_counter()
        with self._lock:
            if now > self._hushed_until + BETWEEN:
                self._hushed_until = now + HUSH

    @property
    def hushed(self) -> bool:
        """Whether to stand aside now."""
        return time.perf_counter() < self._hushed_until

    def stand_aside(self) -> None:
        """Wait while somebody else waits for an answer."""
        time.sleep(max(0.0, self._hushed_until - time.perf_counter()))

    def _enter(self, who: object, *, urgent: bool, meanwhile: Callable[[], object] | None) -> None:
        with self._lock:
            if self._free and not self._queue:
                self._free -= 1
                return
            ticket = self._queue[who] = threading.Event()
            if urgent:
                self._queue.move_to_end(who, last=False)
        # The place is handed over, never free for a late comer in between.
        if meanwhile is None:
            ticket.wait()
            return
        try:
            while not ticket.wait(MEANWHILE):
                meanwhile()
        except BaseException:
            with self._lock:
                waited = self._queue.pop(who, None) is not None
            if not waited:
                self._leave()  # the place was handed over just now
            raise

    def _leave(self) -> None:
        with self._lock:
            if self._queue:
                self._queue.popitem(last=False)[1].set()
            else:
                self._free += 1


#: The gate of this process; one core stays free for the pages themselves.
GATE = Gate(max(1, (os.cpu_count() or 2) - 1))
#: Drawing pages is Python throughout: two at a time would only take turns at the interpreter.
PAGES = Gate(1)
