"""The gate: never more than its places, everybody in turn."""

from __future__ import annotations

import threading
import time

from app.live.gate import ROUND, TURN, Gate


def test_no_more_than_its_places_compute_at_once() -> None:
    gate, lock = Gate(2), threading.Lock()
    inside = most = 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(200):
            with gate.turn(object()):
                with lock:
                    inside += 1
                    most = max(most, inside)
                with lock:
                    inside -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most <= 2
    with gate.turn(object()), gate.turn(object()):
        pass  # both places came back


def test_a_worker_that_waits_goes_before_one_that_comes_again() -> None:
    gate, order = Gate(1), []
    waiting = threading.Event()

    def other() -> None:
        waiting.set()
        with gate.turn(object()):
            order.append("other")

    thread = threading.Thread(target=other)
    with gate.turn(object()):
        thread.start()
        waiting.wait(10)
        while not gate._queue:  # the other one has asked
            pass
    with gate.turn(object()):
        order.append("again")
    thread.join(10)
    assert order == ["other", "again"]


def test_turns_are_shorter_the_more_wait() -> None:
    gate, lengths = Gate(1), []

    def other() -> None:
        with gate.turn(object()) as until:
            lengths.append(until - time.perf_counter())

    threads = [threading.Thread(target=other) for _ in range(40)]
    with gate.turn(object()):
        for thread in threads:
            thread.start()
        while len(gate._queue) < len(threads):  # until all have asked
            pass
    for thread in threads:
        thread.join(10)
    assert all(length <= TURN for length in lengths)
    assert lengths[0] <= ROUND / 40
    assert lengths[20] <= ROUND / 20
    assert max(lengths[-9:]) > ROUND / 20, "who waits alone may take several steps"


def test_an_exception_gives_the_place_back() -> None:
    gate = Gate(1)
    try:
        with gate.turn(object()):
            raise ValueError
    except ValueError:
        pass
    with gate.turn(object()):
        pass


def test_a_worker_with_a_command_goes_to_the_front() -> None:
    gate, order = Gate(1), []
    names = ("first", "second", "pressed", "late")

    def other(name: str, *, urgent: bool) -> None:
        with gate.turn(name, urgent=urgent):
            order.append(name)

    threads = []
    with gate.turn(object()):
        for name in names:
            thread = threading.Thread(target=other, args=(name,), kwargs={"urgent": name == "late"})
            thread.start()
            threads.append(thread)
            while name not in gate._queue:  # until it has asked
                pass
        gate.hurry("pressed")
        gate.hurry("nobody")
    for thread in threads:
        thread.join(10)
    assert order == ["pressed", "late", "first", "second"]
