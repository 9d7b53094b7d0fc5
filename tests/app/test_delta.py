"""The grid's messages: whoever applies them in turn holds what the server holds."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from app.grid.delta import Delta

traces = st.dictionaries(st.sampled_from("abc"), st.integers(0, 3).map(lambda n: {"x": n}))
part = st.fixed_dictionaries({"title": st.sampled_from(["one", "two"]), "traces": traces})
parts = st.dictionaries(st.sampled_from(["loss", "map"]), part, min_size=1)


class Browser:
    """What grid.js does with a message."""

    def __init__(self) -> None:
        self.seq, self.parts = -1, {}

    def receive(self, message: dict) -> bool:
        message = json.loads(json.dumps(message, allow_nan=False))
        if message["seq"] == self.seq:
            return True
        if message["base"] not in (0, self.seq):
            return False
        if message["base"] == 0:
            self.parts = {}
        self.seq = message["seq"]
        for name, fields in message["parts"].items():
            held = self.parts.setdefault(name, {"traces": {}})
            changed = fields.pop("traces", {})
            held.update(fields)
            held["traces"] = held["traces"] | changed
        return True

    def shown(self) -> dict:
        return {
            name: {k: v for k, v in part.items() if k not in ("traces", "order")}
            | {"traces": {key: part["traces"][key] for key in part.get("order", [])}}
            for name, part in self.parts.items()
        }


@given(st.lists(parts, min_size=1, max_size=6))
def test_applying_every_message_gives_the_servers_parts(states: list[dict]) -> None:
    sender, browser = Delta(), Browser()
    known: dict = {}
    for state in states:
        known = {name: state.get(name, known.get(name)) for name in known | state}
        assert browser.receive(sender.message(known))
        assert browser.shown() == known


def test_nothing_new_costs_nothing() -> None:
    sender = Delta()
    state = {"loss": {"title": "Loss", "traces": {"a": {"x": 1}}}}
    first, second = sender.message(state), sender.message(state)
    assert second == {"seq": first["seq"], "base": first["seq"], "parts": {}}


def test_only_the_changed_trace_is_sent() -> None:
    sender = Delta()
    sender.message({"loss": {"title": "Loss", "traces": {"a": {"x": 1}, "b": {"x": 2}}}})
    message = sender.message({"loss": {"title": "Loss", "traces": {"a": {"x": 1}, "b": {"x": 3}}}})
    assert message["parts"] == {"loss": {"traces": {"b": {"x": 3}}, "order": ["a", "b"]}}


def test_a_lost_message_is_noticed_and_reset_sends_everything() -> None:
    sender, browser = Delta(), Browser()
    states = [{"loss": {"title": "Loss", "traces": {"a": {"x": n}}}} for n in range(3)]
    assert browser.receive(sender.message(states[0]))
    sender.message(states[1])  # never arrives
    assert not browser.receive(sender.message(states[2]))
    sender.reset()
    assert browser.receive(sender.message(states[2]))
    assert browser.shown() == states[2]
