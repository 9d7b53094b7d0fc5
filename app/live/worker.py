"""A thread of one session: takes commands between two turns, and turns behind the fair gate."""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable

from app.live.gate import Gate
from app.live.memory import give_back
from app.live.pulse import Pulse

log = logging.getLogger("chatterscope")

#: Commands that wait, at most: no person is so fast, and each costs everybody's time.
MOST = 64

_open: weakref.WeakSet[Worker] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """A thread that is inside torch when the interpreter ends would abort the process."""
    workers = list(_open)
    for worker in workers:
        worker.close()
    for worker in workers:
        worker.join(10)


class Worker(ABC):
    """Runs commands and turns in a thread of its own, one at a time.

    A subclass says when there is work, takes one turn of it, and answers an error.

    Args:
        gate: shared by all workers of the process.
        name: for the log.
        pulse: of the session; once nobody looks at it, the thread ends and drops what it holds.
            None lasts until close().
    """

    def __init__(self, gate: Gate, name: str, pulse: Pulse | None = None) -> None:
        self.name = name
        self._gate = gate
        self._pulse = pulse
        self._commands: deque[Callable[[], None]] = deque()
        self._wake = threading.Condition()
        self._closed = False
        #: Whether a turn is being taken; a worker that waits for one changes nothing.
        self._at_work = False
        self._thread = threading.Thread(target=self._work, name=f"trainer {name}", daemon=True)

    def close(self) -> None:
        """End the thread; the worker answers no further command."""
        with self._wake:
            self._closed = True
            self._wake.notify()

    @property
    def ended(self) -> bool:
        """Whether the thread answers no further command, as nobody watched or by close()."""
        return self._closed

    def join(self, seconds: float) -> bool:
        """Wait for the thread to end after close(); whether it has."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _start_thread(self) -> None:
        _open.add(self)
        self._thread.start()

    def _command(self, action: Callable[[], None], *, instead: bool = False) -> None:
        """Queue a command; `instead` of all that still wait, which it makes void."""
        with self._wake:
            if instead:
                self._commands.clear()
            if len(self._commands) < MOST:
                self._commands.append(action)
            self._wake.notify()
        self._gate.hurry(self)

    def _work(self) -> None:
        log.info("%s: trainer started", self.name)
        while self._wait():
            try:
                with self._gate.turn(self, urgent=bool(self._commands)) as until:
                    self._at_work = True
                    while self._commands and not self._closed:
                        self._commands.popleft()()
                        if time.perf_counter() >= until:
                            break
                    self._take_turn(until)
            except Exception as error:
                log.exception("%s: training stopped", self.name)
                self._fail(error)
            finally:
                self._at_work = False
        self._commands.clear()
        self._drop()
        give_back()
        log.info("%s: trainer closed", self.name)

    def _wait(self) -> bool:
        """Sleep until there is something to do; False when closed."""
        with self._wake:
            while not (self._closed or self._commands or self._has_work()):
                self._wake.wait(None if self._pulse is None else max(0.0, self._pulse.left))
                self._end_if_idle()
            self._end_if_idle()
            return not self._closed

    def _end_if_idle(self) -> None:
        if not self._closed and self._pulse is not None and self._pulse.left <= 0:
            log.info("%s: nobody watches", self.name)
            self._closed = True

    @abstractmethod
    def _has_work(self) -> bool:
        """Whether there is a turn to take."""

    @abstractmethod
    def _take_turn(self, until: float) -> None:
        """Work until `until`, in `time.perf_counter` seconds."""

    @abstractmethod
    def _drop(self) -> None:
        """The thread ends: let go of all that takes memory."""

    @abstractmethod
    def _fail(self, error: Exception) -> None:
        """A command or a turn raised."""
