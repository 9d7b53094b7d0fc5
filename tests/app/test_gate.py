"""The gate: never more than its places, everybody in turn."""

from __future__ import annotations

import threading
import time

import pytest

from app.live import session
from app.live.gate import BETWEEN, HUSH, PAGES, ROUND, TURN, Gate


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


def test_who_is_called_away_leaves_the_queue() -> None:
    gate, asked = Gate(1), threading.Event()

    def called_away() -> None:
        asked.set()
        raise InterruptedError

    def wait() -> None:
        with pytest.raises(InterruptedError), gate.turn("called", meanwhile=called_away):
            pass

    thread = threading.Thread(target=wait)
    with gate.turn(object()):
        thread.start()
        assert asked.wait(10)
        thread.join(10)
        assert not gate._queue
    with gate.turn(object()):
        pass


def test_who_is_called_away_as_its_turn_comes_hands_it_on() -> None:
    gate, called, over, order = Gate(1), threading.Event(), threading.Event(), []

    def called_away() -> None:
        called.set()
        assert over.wait(10)  # by then the place was handed over
        raise InterruptedError

    def wait() -> None:
        with pytest.raises(InterruptedError), gate.turn("called", meanwhile=called_away):
            order.append("called")

    def after() -> None:
        with gate.turn("after"):
            order.append("after")

    threads = [threading.Thread(target=wait), threading.Thread(target=after)]
    with gate.turn(object()):
        for thread, name in zip(threads, ("called", "after"), strict=True):
            thread.start()
            while name not in gate._queue:  # until it has asked
                pass
        assert called.wait(10)
    over.set()
    for thread in threads:
        thread.join(10)
    assert order == ["after"]


def test_others_stand_aside_for_an_answer_but_not_all_the_time() -> None:
    gate = Gate(1)
    gate.hush()
    begun = time.perf_counter()
    with gate.turn(object(), urgent=True):
        assert gate.hushed, "whose answer it is goes on"
    with gate.turn(object()):
        assert time.perf_counter() >= begun + 0.9 * HUSH
        assert not gate.hushed
    gate.hush()
    assert not gate.hushed, "again at once"
    gate._hushed_until -= BETWEEN
    gate.hush()
    assert gate.hushed


def test_a_page_that_is_drawn_anew_waits_apart_from_the_run_that_is_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lab = session.Lab.__new__(session.Lab)  # without a trainer
    lab._brief = lab._in_queue = False
    stopped, drawn = threading.Event(), []

    def draw(name: str) -> None:
        def called_away() -> None:
            if name == "stopped" and stopped.is_set():
                raise InterruptedError

        checks.append(called_away)
        try:
            with lab.drawing():
                drawn.append(name)
        except InterruptedError:
            pass

    checks: list = []
    monkeypatch.setattr(session, "get_run_yield_check", lambda: checks[-1])
    threads = []
    with PAGES.turn(object()):
        for name in ("stopped", "anew"):
            threads.append(threading.Thread(target=draw, args=(name,), daemon=True))
            threads[-1].start()
            deadline = time.monotonic() + 10
            while len(PAGES._queue) < len(threads):  # until it has asked
                assert time.monotonic() < deadline
        stopped.set()
        threads[0].join(10)
    threads[1].join(10)
    assert drawn == ["anew"]
