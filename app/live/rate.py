"""Steps a second, over the last second."""

from __future__ import annotations

import time
from collections import deque

#: Seconds that are looked back.
WINDOW = 1.0


class Rate:
    """Counts steps a second as they come."""

    def __init__(self) -> None:
        self._ticks: deque[tuple[float, int]] = deque()

    def tick(self, step: int) -> None:
        """A step was taken."""
        self._ticks.append((time.perf_counter(), step))

    def clear(self) -> None:
        """Training stands still."""
        self._ticks.clear()

    def read(self) -> float:
        """Steps a second; 0 for fewer than two steps in the last second."""
        now = time.perf_counter()
        while self._ticks and self._ticks[0][0] < now - WINDOW:
            self._ticks.popleft()
        if len(self._ticks) < 2:
            return 0.0
        (first, a), (last, b) = self._ticks[0], self._ticks[-1]
        return (b - a) / (last - first) if last > first else 0.0
