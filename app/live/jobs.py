"""Work beside training, in small pieces: it takes turns, shows progress and can be cancelled."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any


class Jobs:
    """Named pieces of work, each an iterator of ever more complete results.

    Args:
        publish: called with a job's name and each of its results.
        refuse: called with a job's name and the error of one that cannot be done.
    """

    def __init__(
        self, publish: Callable[[str, Any], None], refuse: Callable[[str, Exception], None]
    ) -> None:
        self._publish = publish
        self._refuse = refuse
        self._jobs: dict[str, Iterator[Any]] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, name: str) -> bool:
        return name in self._jobs

    def start(self, name: str, results: Iterator[Any]) -> None:
        """Begin a job, in place of one of the same name; its first result is made at once."""
        self._jobs.pop(name, None)
        self._jobs[name] = results
        self._advance(name, 0)

    def cancel(self, name: str) -> None:
        """Stop a job; what it has published stays."""
        self._jobs.pop(name, None)

    def clear(self) -> None:
        """Stop all jobs."""
        self._jobs.clear()

    def take_turn(self, until: float) -> None:
        """Let the job that has waited longest work until `until` (time.perf_counter seconds)."""
        name = next(iter(self._jobs))
        self._jobs[name] = self._jobs.pop(name)  # to the end of the queue
        self._advance(name, until)

    def _advance(self, name: str, until: float) -> None:
        """Make at least one result, and more while there is time."""
        try:
            for result in self._jobs[name]:
                self._publish(name, result)
                if time.perf_counter() >= until:
                    return
        except (ValueError, MemoryError) as error:  # refused: training itself is sound
            self._refuse(name, error)
        self._jobs.pop(name, None)
