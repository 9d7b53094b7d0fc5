"""A page's line: whoever applies its messages in turn holds what the server holds."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.websockets import WebSocketDisconnect

from app.grid.changes import changes
from app.live.feed import Feed
from app.live.held import Held, find
from app.live.line import DRAWING, GONE, MOST, answer_line

leaf = st.integers(0, 2) | st.sampled_from(["a", "b"]) | st.lists(st.integers(0, 1), max_size=2)
tree = st.recursive(leaf, lambda t: st.dictionaries(st.sampled_from("xyz"), t, max_size=3))
parts = st.dictionaries(
    st.sampled_from(["loss", "map"]),
    st.dictionaries(st.sampled_from("xyz"), tree, min_size=1),
    min_size=1,
)


def merge(old: Any, changed: Any) -> Any:
    """What spec.js does."""
    if not (isinstance(old, dict) and isinstance(changed, dict)):
        return changed
    merged = dict(old)
    for key, change in changed.items():
        if change is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(old.get(key), change)
    return merged


@given(st.lists(parts, min_size=1, max_size=6))
def test_applying_all_changes_gives_the_servers_parts(states: list[dict[str, Any]]) -> None:
    sent: dict[str, Any] = {}
    browser: Any = {}
    for state in states:
        known = sent | state  # a part that is left out stays
        browser = merge(browser, json.loads(json.dumps(changes(sent, known))))
        sent = known
        assert browser == known


def test_only_what_changed_is_sent() -> None:
    old = {"loss": {"title": "Loss", "traces": {"a": {"x": 1}, "b": {"x": 2, "y": 0}}}}
    new = {"loss": {"title": "Loss", "traces": {"b": {"x": 3, "y": 0}}}}
    assert changes(old, new) == {"loss": {"traces": {"b": {"x": 3}, "a": None}}}
    assert changes(old, old) == {}


class Idle:
    """As much of a worker as is needed."""

    name, ended = "idle", False

    def close(self) -> None:
        self.ended = True


class Counter(Held):
    """Shows what was done, and how often it was asked for everything."""

    def __init__(self) -> None:
        super().__init__(Idle())  # type: ignore[arg-type]
        self.done: list[str] = []
        self.rests = 0
        self.is_drawn(FEED)

    def leave(self) -> None:
        pass

    def parts(self, everything: bool) -> dict[str, dict[str, Any]]:
        more = {"fixed": {"title": "Loss"}} if everything else {}
        return more | {"done": {"list": list(self.done)}}

    def act(self, action: dict[str, Any]) -> None:
        if action["do"] == "fail":
            float(action["x"])
        self.done.append(action["do"])
        self.rests += action["do"] == "rest"


FEED = Feed(
    Counter.parts,
    around=lambda held: held.rests,
    act=Counter.act,
    interval=lambda _held: 0.25,
)


class Socket:
    """A browser's end of a line, and the server's."""

    def __init__(self, held: str) -> None:
        self.said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.heard: asyncio.Queue[Any] = asyncio.Queue()
        self.sending, self.reads = asyncio.Event(), asyncio.Event()
        self.reads.set()
        self.say(held)
        self.line = asyncio.create_task(answer_line(self))  # type: ignore[arg-type]

    async def accept(self) -> None:
        pass

    async def receive(self) -> dict[str, Any]:
        return await self.said.get()

    async def send_text(self, text: str) -> None:
        self.sending.set()
        await self.reads.wait()
        self.heard.put_nowait(json.loads(text))

    async def close(self, code: int) -> None:
        self.heard.put_nowait(code)
        self.said.put_nowait({"type": "websocket.disconnect"})

    def say(self, text: str | None) -> None:
        self.said.put_nowait({"type": "websocket.receive", "text": text})

    async def hear(self) -> Any:
        async with asyncio.timeout(10):
            return await self.heard.get()

    async def ask(self, text: str | None = "") -> Any:
        self.say(text)
        return await self.hear()

    async def leave(self) -> None:
        self.said.put_nowait({"type": "websocket.disconnect"})
        async with asyncio.timeout(10):
            await self.line


@asynccontextmanager
async def another_is_drawn() -> AsyncIterator[None]:
    """It is another page's turn."""
    other = object()
    await DRAWING.acquire_on_behalf_of(other)
    try:
        yield
    finally:
        DRAWING.release_on_behalf_of(other)


async def waits_its_turn(socket: Socket, text: str = "") -> None:
    """Say something, and see it wait for the others."""
    socket.say(text)
    async with asyncio.timeout(10):
        while not DRAWING.statistics().tasks_waiting:
            await asyncio.sleep(0)
    assert socket.heard.empty()


def run(talk: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(talk())  # type: ignore[arg-type]


def test_a_line_sends_everything_and_then_what_is_new() -> None:
    held = Counter()

    async def talk() -> None:
        socket = Socket(held.token)
        whole = {"fixed": {"title": "Loss"}, "done": {"list": []}}
        assert await socket.ask() == {"parts": whole, "again": 0.25, "stale": False}
        assert (await socket.ask())["parts"] == {}
        answer = await socket.ask('{"do": "run"}')
        assert answer["parts"] == {"done": {"list": ["run"]}}
        await socket.leave()
        again = Socket(held.token)
        assert (await again.ask())["parts"] == whole | {"done": {"list": ["run"]}}
        await again.leave()

    run(talk)


def test_actions_are_carried_out_in_their_order() -> None:
    held, wanted = Counter(), [f"step {n}" for n in range(50)]

    async def talk() -> None:
        socket = Socket(held.token)
        for do in wanted:
            socket.say(json.dumps({"do": do}))
        known: Any = {}
        while known.get("done") != {"list": wanted}:
            known = merge(known, (await socket.hear())["parts"])
        await socket.leave()

    run(talk)
    assert held.done == wanted


def test_the_page_is_stale_until_it_is_drawn_anew() -> None:
    held = Counter()

    async def talk() -> None:
        socket = Socket(held.token)
        assert (await socket.ask('{"do": "rest"}'))["stale"]
        assert (await socket.ask())["stale"]
        held.is_drawn(FEED)
        assert not (await socket.ask())["stale"]
        held._worker.close()
        assert (await socket.ask())["stale"], "nobody watched: its page begins anew"
        await socket.leave()

    run(talk)


LONG = json.dumps({"do": "x" * MOST})


@pytest.mark.parametrize(
    "text",
    [None, "", "run", "7", "[]", "{}", '{"do": 7}', "[" * 9999, LONG, "\ud800", "\x00"],
)
def test_what_is_no_action_does_nothing(text: str | None) -> None:
    held = Counter()

    async def talk() -> None:
        socket = Socket(held.token)
        assert (await socket.ask(text))["parts"]
        await socket.leave()

    run(talk)
    assert held.done == []


@pytest.mark.parametrize("x", ['"far"', "[]", "1" + "0" * 400])
def test_an_action_that_makes_no_sense_is_refused_and_the_line_goes_on(
    x: str, caplog: pytest.LogCaptureFixture
) -> None:
    held = Counter()

    async def talk() -> None:
        socket = Socket(held.token)
        await socket.ask('{"do": "fail", "x": %s}' % x)  # noqa: UP031
        assert (await socket.ask('{"do": "run"}'))["parts"] == {"done": {"list": ["run"]}}
        await socket.leave()

    run(talk)
    assert caplog.messages == ["idle: what a browser asked for was no action"]


def test_a_newer_line_ends_the_older_one() -> None:
    held = Counter()

    async def talk() -> None:
        old = Socket(held.token)
        await old.ask()
        new = Socket(held.token)
        assert (await new.ask())["parts"]["fixed"] == {"title": "Loss"}
        assert await old.ask() == GONE
        await old.line
        assert (await new.ask())["parts"] == {}, "and takes no news away from it"
        await new.leave()
        assert held.line is None

    run(talk)


def test_who_acts_again_and_again_waits_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.live.line.BETWEEN", 1e9)
    held = Counter()

    async def talk() -> None:
        socket = Socket(held.token)
        async with another_is_drawn():
            await socket.ask('{"do": "run"}')
            await waits_its_turn(socket, '{"do": "run"}')
        assert (await socket.hear())["parts"] == {"done": {"list": ["run", "run"]}}
        await socket.leave()

    run(talk)


def test_an_unknown_token_is_turned_away() -> None:
    async def talk() -> None:
        for token in ("", "guessed", Counter().token):
            socket = Socket(token)
            assert await socket.hear() == GONE
            await socket.line

    run(talk)


def test_a_line_keeps_no_session() -> None:
    async def talk() -> None:
        held = Counter()
        token, gone = held.token, weakref.ref(held)
        socket = Socket(token)
        await socket.ask()
        del held
        assert gone() is None
        assert find(token) is None
        assert await socket.ask() == GONE
        await socket.line

    gc.collect()
    run(talk)


def test_a_page_is_no_longer_held_where_it_was_never_drawn() -> None:
    held = Counter()
    held.feed = None

    async def talk() -> None:
        socket = Socket(held.token)
        assert await socket.ask() == GONE
        await socket.line

    run(talk)


def test_pages_are_drawn_one_after_the_other_but_an_action_is_answered_at_once() -> None:
    held = Counter()

    async def talk() -> None:
        socket = Socket(held.token)
        async with another_is_drawn():
            await waits_its_turn(socket)
            answer = await socket.ask('{"do": "pause"}')
            assert answer["parts"]["done"] == {"list": ["pause"]}
            assert not DRAWING.statistics().tasks_waiting, "that was the answer to both"
            await waits_its_turn(socket)
        assert (await socket.hear())["parts"] == {}
        await socket.leave()
        assert not DRAWING.borrowed_tokens

    run(talk)


def test_nothing_is_made_while_it_would_be_made_of_the_same() -> None:
    held, made = Counter(), []

    def parts(held: Counter, everything: bool) -> dict[str, dict[str, Any]]:
        made.append(everything)
        return held.parts(everything)

    held.is_drawn(Feed(parts, lambda held: len(held.done), act=Counter.act))

    async def talk() -> None:
        socket = Socket(held.token)
        for _ in range(3):
            await socket.ask()
        assert made == [True]
        assert (await socket.ask('{"do": "run"}'))["parts"] == {"done": {"list": ["run"]}}
        await socket.leave()
        again = Socket(held.token)
        assert "fixed" in (await again.ask())["parts"], "a new line has nothing yet"
        await again.leave()

    run(talk)
    assert made == [True, False, True]


def test_no_two_pages_are_drawn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lock, inside, most = threading.Lock(), 0, 0

    def slow(held: Counter, everything: bool) -> dict[str, dict[str, Any]]:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.001)
        with lock:
            inside -= 1
        return Counter.parts(held, everything)

    helds = [Counter() for _ in range(8)]
    for held in helds:
        held.is_drawn(Feed(slow))

    async def talk() -> None:
        sockets = [Socket(held.token) for held in helds]
        for _ in range(3):
            await asyncio.gather(*(socket.ask() for socket in sockets))
        await asyncio.gather(*(socket.leave() for socket in sockets))

    run(talk)
    assert most == 1


def test_who_reads_nothing_keeps_nobody_waiting() -> None:
    helds = [Counter(), Counter()]

    async def talk() -> None:
        deaf, other = (Socket(held.token) for held in helds)
        deaf.reads.clear()
        deaf.say("")
        async with asyncio.timeout(10):
            await deaf.sending.wait()  # in its turn, with nothing urgent
        for text in ("", '{"do": "run"}', ""):
            deaf.say(text)
            assert "parts" in await other.ask()
        await other.leave()
        await deaf.leave()

    run(talk)


def test_who_leaves_while_waiting_leaves_the_queue() -> None:
    held = Counter()

    async def talk() -> None:
        socket = Socket(held.token)
        async with another_is_drawn():
            await waits_its_turn(socket)
            await socket.leave()
            assert not DRAWING.statistics().tasks_waiting

    run(talk)


def test_who_leaves_while_being_sent_something_is_no_error() -> None:
    held = Counter()

    class Leaving(Socket):
        async def send_text(self, _text: str) -> None:
            raise WebSocketDisconnect(1006)

    async def talk() -> None:
        socket = Leaving(held.token)
        socket.say("")
        async with asyncio.timeout(10):
            await socket.line

    run(talk)
