"""A worker's commands: in order, bounded, and never in one turn for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from app.live.gate import TURN, Gate
from app.live.worker import MOST, Worker


class Commanded(Worker):
    """Has no work but its commands."""

    def __init__(self, gate: Gate) -> None:
        super().__init__(gate, "commanded")
        self._start_thread()

    def _has_work(self) -> bool:
        return False

    def _take_turn(self, until: float) -> None:
        pass

    def _drop(self) -> None:
        pass

    def _fail(self, error: Exception) -> None:
        raise error


@pytest.fixture
def workers() -> Iterator[list[Commanded]]:
    gate = Gate(1)
    both = [Commanded(gate), Commanded(gate)]
    yield both
    for worker in both:
        worker.close()
        assert worker.join(10)


def held_up(worker: Commanded) -> threading.Event:
    """Let a worker be at a command until the value is set."""
    begun, free = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        assert free.wait(10)

    worker._command(hold)
    assert begun.wait(10)
    return free


def test_a_flood_of_commands_is_cut_and_lets_others_in_between(workers: list[Commanded]) -> None:
    flood, other = workers
    order: list[str] = []

    def work() -> None:
        time.sleep(TURN)
        order.append("flood")

    free = held_up(flood)
    for _ in range(10 * MOST):
        flood._command(work)
    assert len(flood._commands) == MOST
    done = threading.Event()
    other._command(lambda: (order.append("other"), done.set()))
    free.set()
    assert done.wait(10)
    assert order.index("other") <= 2, "not after all of them"


def test_a_closed_worker_carries_out_nothing_more(workers: list[Commanded]) -> None:
    worker, _ = workers
    late: list[str] = []
    free = held_up(worker)
    worker._command(lambda: late.append("late"))
    worker.close()
    free.set()
    assert worker.join(10)
    assert late == []
