"""A page's line: a websocket on which its charts ask for news and say what a person did in them.

Beside Streamlit's, which would run the page's script for each: three times the work, most of it in
the one thread that has to send all answers.
"""

from __future__ import annotations

import asyncio
import json
import time
import weakref
from typing import Any

from anyio import CancelScope, CapacityLimiter, create_task_group, to_thread
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.grid.changes import changes
from app.live.feed import Feed, Parts
from app.live.held import Held, find
from app.live.worker import log

#: Drawing is Python throughout: two pages at a time would only take turns at the interpreter.
DRAWING = CapacityLimiter(1)
#: Threads that carry out actions and draw: not those that the server sends files with.
THREADS = CapacityLimiter(32)
#: Seconds after an answer within which a page waits its turn for the next: who drags or holds a key
#: is no more urgent than the others.
BETWEEN = 0.1
#: Characters of an action; an honest one has a hundred.
MOST = 10_000
#: Says in closing that nothing is held under the token, or that a newer line is.
GONE = 4404


async def answer_line(socket: WebSocket) -> None:
    """Serve the line of one page until it is closed; the first message is what it is to.

    Not its address, which logs have: whoever knows the token sees and moves that session's charts.
    """
    await socket.accept()
    first = await socket.receive()
    if first["type"] == "websocket.disconnect":
        return
    held = find(first.get("text") or "")
    if held is None:
        await socket.close(GONE)
        return
    line = Line(socket, held)
    del held  # who hangs on to a line keeps no session
    await line.serve()


class Line:
    """One page's line.

    It first sends everything, then what has changed since: {"parts", "again", "stale"}, see
    `changes` and `Feed`. The page asks with an action, or with nothing for news alone. Pages are
    drawn one after the other; an action is answered at once.

    Args:
        socket: accepted.
        held: what the page's session holds; its older line ends.
    """

    def __init__(self, socket: WebSocket, held: Held) -> None:
        self._socket = socket
        self._held = weakref.ref(held)
        held.line = self
        self._sent: Parts = {}
        self._made_of: object = None
        self._asked = asyncio.Event()
        #: Whether a person waits for the answer, and when one was last answered.
        self._urgent = False
        self._answered = -BETWEEN
        self._queue = CancelScope()

    async def serve(self) -> None:
        """Answer until the line is closed."""
        try:
            async with create_task_group() as both:
                both.start_soon(self._answer)
                await self._listen()
                both.cancel_scope.cancel()
        except* WebSocketDisconnect:
            pass
        finally:
            held = self._held()
            if held is not None and held.line is self:
                held.line = None  # with all that was sent

    async def _listen(self) -> None:
        while (message := await self._socket.receive())["type"] != "websocket.disconnect":
            action = read_action(message.get("text") or "")
            if action is not None:
                await to_thread.run_sync(self._act, action, limiter=THREADS)
                if time.perf_counter() > self._answered + BETWEEN:
                    self._urgent = True
                    self._queue.cancel()
            self._asked.set()

    async def _answer(self) -> None:
        while True:
            await self._asked.wait()
            in_turn = await self._turn()
            self._asked.clear()
            if self._urgent:
                self._answered = time.perf_counter()
                self._urgent = False
            try:
                message = await to_thread.run_sync(self._message, limiter=THREADS)
            finally:
                if in_turn:
                    DRAWING.release_on_behalf_of(self)
            if message is None:
                await self._socket.close(GONE)
                return
            text = json.dumps(message, separators=(",", ":"), allow_nan=False)
            await self._socket.send_text(text)

    async def _turn(self) -> bool:
        """Wait for a turn at drawing; whether it came, or something urgent before it."""
        if self._urgent:
            return False
        with CancelScope() as self._queue:
            await DRAWING.acquire_on_behalf_of(self)
        return not self._queue.cancelled_caught

    def _act(self, action: dict[str, Any]) -> None:
        held = self._held()
        if held is None or held.feed is None:
            return
        try:
            held.feed.act(held, action)
        except (TypeError, ValueError, ArithmeticError):
            log.warning("%s: what a browser asked for was no action", held.name)

    def _message(self) -> dict[str, Any] | None:
        """What is new, or None where the session has ended or has a newer line."""
        held = self._held()
        if held is None or held.feed is None:
            return None
        with held.drawing:  # an older line may be at it still
            if held.line is not self:
                return None
            changed = self._news(held, held.feed)
        return {"parts": changed, "again": held.feed.interval(held), "stale": held.stale}

    def _news(self, held: Held, feed: Feed[Any]) -> Parts:
        made_of = feed.made_of(held)
        if self._sent and made_of is not None and made_of == self._made_of:
            return {}
        known = self._sent | feed.parts(held, not self._sent)
        changed, self._sent, self._made_of = changes(self._sent, known), known, made_of
        return changed


def read_action(text: str) -> dict[str, Any] | None:
    """What a browser says that a person did, or None where that is no action.

    Args:
        text: anything at all.
    """
    if not 0 < len(text) <= MOST:
        return None
    try:
        action = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return action if isinstance(action, dict) and isinstance(action.get("do"), str) else None
