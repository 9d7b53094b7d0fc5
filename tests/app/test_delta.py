"""The grid's messages: whoever applies them in turn holds what the server holds."""

from __future__ import annotations

import functools
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.grid.delta import Delta

leaf = st.integers(0, 2) | st.sampled_from(["a", "b"]) | st.lists(st.integers(0, 1), max_size=2)
tree = st.recursive(leaf, lambda t: st.dictionaries(st.sampled_from("xyz"), t, max_size=3))
parts = st.dictionaries(
    st.sampled_from(["loss", "map"]),
    st.dictionaries(st.sampled_from("xyz"), tree, min_size=1),
    min_size=1,
)


def merge(old: Any, changes: Any) -> Any:
    """What spec.js does."""
    if not (isinstance(old, dict) and isinstance(changes, dict)):
        return changes
    merged = dict(old)
    for key, change in changes.items():
        if change is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(old.get(key), change)
    return merged


class Browser:
    def __init__(self) -> None:
        self.seq = -1
        self.parts: Any = {}

    def receive(self, message: dict[str, Any]) -> bool:
        message = json.loads(json.dumps(message, allow_nan=False))
        if message["seq"] == self.seq:
            return True
        base, changes = message["base"], [*message["before"], message["parts"]]
        if base and not base <= self.seq <= message["seq"]:
            return False
        held, news = (self.parts, changes[self.seq - base :]) if base else ({}, changes)
        self.seq, self.parts = message["seq"], functools.reduce(merge, news, held)
        return True


@given(st.lists(parts, min_size=1, max_size=6))
def test_applying_every_message_gives_the_servers_parts(states: list[dict[str, Any]]) -> None:
    sender, browser = Delta(), Browser()
    known: dict[str, Any] = {}
    for state in states:
        known |= state  # a part that is left out stays
        assert browser.receive(sender.message(state))
        assert browser.parts == known


def test_nothing_new_costs_nothing() -> None:
    sender = Delta()
    state = {"loss": {"title": "Loss", "traces": {"a": {"x": 1}}}}
    first, second = sender.message(state), sender.message(state)
    nothing = {"before": [], "parts": {}, "taken": 0}
    assert second == {"seq": first["seq"], "base": first["seq"]} | nothing


def test_only_what_changed_is_sent() -> None:
    sender = Delta()
    sender.message({"loss": {"title": "Loss", "traces": {"a": {"x": 1}, "b": {"x": 2, "y": 0}}}})
    message = sender.message({"loss": {"title": "Loss", "traces": {"b": {"x": 3, "y": 0}}}})
    assert message["parts"] == {"loss": {"traces": {"b": {"x": 3}, "a": None}}}


@given(st.lists(st.tuples(parts, st.booleans()), min_size=1, max_size=6), parts)
def test_messages_lost_shortly_before_another_cost_nothing(
    states: list[tuple[dict[str, Any], bool]], last: dict[str, Any]
) -> None:
    sender, browser = Delta(left=math.inf), Browser()
    known: dict[str, Any] = {"map": {"x": 0}}
    assert browser.receive(sender.message(known))
    for state, arrives in states:
        known |= state
        message = sender.message(state)
        if arrives:
            assert browser.receive(message)
            assert browser.parts == known
    assert browser.receive(sender.message(last))
    assert browser.parts == known | last


def test_a_message_that_has_left_is_not_sent_again() -> None:
    sender = Delta(left=0)
    for n in range(4):
        message = sender.message({"loss": {"x": n}})
        assert (message["before"], message["parts"]) == ([], {"loss": {"x": n}})


def test_a_lost_message_is_noticed_and_reset_sends_everything() -> None:
    sender, browser = Delta(left=0), Browser()
    states = [{"loss": {"title": "Loss", "traces": {"a": {"x": n}}}} for n in range(3)]
    assert browser.receive(sender.message(states[0]))
    sender.message(states[1])  # never arrives
    assert not browser.receive(sender.message(states[2]))
    sender.reset()
    assert browser.receive(sender.message(states[2]))
    assert browser.parts == states[2]


def test_what_another_sender_sent_is_not_built_upon() -> None:
    earlier, browser = Delta(), Browser()
    for n in range(50):
        assert browser.receive(earlier.message({"loss": {"x": n}}))
    later = Delta()
    later.message({"loss": {"x": 0}})  # never arrives
    for n in range(1, 60):
        assert not browser.receive(later.message({"map": {"x": n}}))


def test_every_action_is_carried_out_once_however_often_it_is_asked_for() -> None:
    sender, done = Delta(), []
    pause, step = {"number": 1, "do": "pause"}, {"number": 2, "do": "step"}
    sender.take([pause], done.append)
    sender.take([pause, step], done.append)
    sender.take([step], done.append)
    assert done == [pause, step]
    assert sender.message({})["taken"] == 2


def test_a_browser_that_missed_a_message_asks_for_everything() -> None:
    sender, done = Delta(), []
    sender.message({"loss": {"title": "Loss"}})
    sender.take([{"number": 1, "do": "resend"}], done.append)
    assert sender.message({"map": {"title": "Map"}})["base"] == 0
    assert not done


@pytest.mark.parametrize(
    "sent", [None, "run", 7, [7], [{}], [{"do": "run"}], [{"number": "1", "do": "run"}]]
)
def test_what_is_no_action_does_nothing(sent: object) -> None:
    sender, done = Delta(), []
    sender.take(sent, done.append)
    assert not done
