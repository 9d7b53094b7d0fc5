"""A progress bar with the time left, on stderr: one line on a terminal, now and then in a log."""

from __future__ import annotations

import sys
import time
from typing import TextIO

WIDTH = 30
#: Seconds between two bars on a terminal, and between two lines where there is none.
DRAW_EVERY, LOG_EVERY = 0.1, 30.0


class Bar:
    """Says how far something is.

    Args:
        unit: what is counted, behind the numbers.
        scale: of the numbers that are shown: 1e6 shows bytes as megabytes.
        stream: None: stderr.
    """

    def __init__(self, unit: str, *, scale: float = 1.0, stream: TextIO | None = None) -> None:
        self._unit, self._scale = unit, scale
        self._stream = sys.stderr if stream is None else stream
        self._began: float | None = None
        #: How much of what is done took no time here, because it was kept from before.
        self.free = 0.0
        self._shown = float("-inf")

    def show(self, done: float, total: float, what: str = "") -> None:
        """Draw the bar.

        Args:
            done: of `total`.
            total: more than 0; it may grow.
            what: is being done.
        """
        now = time.monotonic()
        self._began = now if self._began is None else self._began
        terminal = self._stream.isatty()
        if now - self._shown < (DRAW_EVERY if terminal else LOG_EVERY) and done < total:
            return
        self._shown = now
        spent, gained = now - self._began, done - self.free
        left = "" if gained <= 0 else f", {duration(spent * (total - done) / gained)} left"
        filled = int(WIDTH * min(1.0, done / total))
        text = (
            f"[{'#' * filled}{'.' * (WIDTH - filled)}] {done / self._scale:.0f} of "
            f"{total / self._scale:.0f} {self._unit}{left if done < total else ''}"
        )
        text = f"{text} · {what}" if what else text
        self._stream.write(f"\r{text:<100}" if terminal else f"{text}\n")
        self._stream.flush()

    def end(self) -> None:
        """Leave the line."""
        if self._began is not None and self._stream.isatty():
            self._stream.write("\n")
            self._stream.flush()


def duration(seconds: float) -> str:
    """Seconds in words, rounded to what matters.

    Args:
        seconds: at least 0.
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
