"""A queue for the few processes that load files: first come, first served, each told its place."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Queue:
    """Lets at most `places` callers in at a time and tells the others where they stand.

    Args:
        places: callers inside at a time, at least 1.
    """

    def __init__(self, places: int) -> None:
        self._changed = threading.Condition()
        self._free = places
        self._waiting: list[object] = []

    @contextmanager
    def turn(self, on_wait: Callable[[int], None] | None = None) -> Iterator[None]:
        """Wait for a place and hold it.

        Args:
            on_wait: called in the caller's own thread with its place in the queue, 1 for the next
                to go in, at first and whenever it changes; never called if there is no wait. What
                it raises ends the wait.
        """
        self._enter(on_wait)
        try:
            yield
        finally:
            with self._changed:
                self._free += 1
                self._changed.notify_all()

    def _enter(self, on_wait: Callable[[int], None] | None) -> None:
        ticket, told = object(), None
        with self._changed:
            self._waiting.append(ticket)
        try:
            while told != 0:
                with self._changed:
                    while self._place(ticket) == told:
                        self._changed.wait()
                    told = self._place(ticket)
                    if told == 0:
                        self._free -= 1
                        self._leave_queue(ticket)
                if told and on_wait is not None:
                    on_wait(told)
        except BaseException:  # the caller gave up
            with self._changed:
                self._leave_queue(ticket)
            raise

    def _leave_queue(self, ticket: object) -> None:
        self._waiting.remove(ticket)
        self._changed.notify_all()

    def _place(self, ticket: object) -> int:
        """0 for whoever may go in now, else the place among those who may not."""
        return max(0, self._waiting.index(ticket) + 1 - self._free)
