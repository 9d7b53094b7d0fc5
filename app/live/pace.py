"""How often the lab asks for news: twice a second, and less often the more pages train at once."""

from __future__ import annotations

import threading
import time

from app.live.feed import REFRESH

#: The same however many there are: a run is seen to move.
SLOWEST = 0.9
#: Seconds for each refresh: a third of it is the server's work, the rest is left to training.
WORK = 0.025
#: Seconds after which a page that has not asked for news no longer counts.
GONE = 5.0


class Pace:
    """Counts the pages of a server that show a run in training, and spaces their refreshes.

    A page that stands still costs next to nothing and does not count.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: dict[str, float] = {}

    def interval(self, name: str, *, training: bool) -> float:
        """Seconds until a page's next refresh.

        Args:
            name: of the page's run.
            training: whether the run moves.
        """
        now = time.monotonic()
        with self._lock:
            self._asked.pop(name, None)  # to the end: the dict is in the order of asking
            if training:
                self._asked[name] = now
            while self._asked and next(iter(self._asked.values())) < now - GONE:
                del self._asked[next(iter(self._asked))]
            return round(min(SLOWEST, max(REFRESH, WORK * len(self._asked))), 1)


#: The pace of this server.
PACE = Pace()
