"""A page's line: a websocket on which its charts ask for news and say what a person did in them.

Beside Streamlit's, which would run the page's script for each: three times the work, most of it in
the one thread that has to send all answers.
"""

from __future__ import annotations

import asyncio
import json
import weakref
from typing import Any

from anyio import CancelScope, CapacityLimiter, create_task_group, to_thread
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.grid.changes import changes
from app.live.feed import Parts
from app.live.held import Held, find

#: Drawing is Python throughout: two pages at a time would only take turns at the interpreter.
DRAWING = CapacityLimiter(1)
#: Threads that carry out actions and draw: not those that the server sends files with.
THREADS = CapacityLimiter(32)
#: Characters of an action; an honest one has a hundred.
MOST = 10_000
#: Says in closing that nothing is held under the token.
GONE = 4404


async def answer_line(socket: WebSocket) -> None:
    """Serve the line of one page until it is closed; its address names what is held."""
    held = find(socket.query_params.get("held", ""))
    await socket.accept()
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
        held: what the page's session holds.
    """

    def __init__(self, socket: WebSocket, held: Held) -> None:
        self._socket = socket
        self._held = weakref.ref(held)
        self._sent: Parts = {}
        self._asked = asyncio.Event()
        #: Whether a person waits for the answer.
        self._urgent = False
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

    async def _listen(self) -> None:
        while (message := await self._socket.receive())["type"] != "websocket.disconnect":
            action = read_action(message.get("text") or "")
            if action is not None:
                await to_thread.run_sync(self._act, action, limiter=THREADS)
                self._urgent = True
                self._queue.cancel()
            self._asked.set()

    async def _answer(self) -> None:
        while True:
            await self._asked.wait()
            in_turn = await self._turn()
            self._asked.clear()
            self._urgent = False
            try:
                message = await to_thread.run_sync(self._message, limiter=THREADS)
            finally:
                if in_turn:
                    DRAWING.release_on_behalf_of(self)
            if message is None:
                await self._socket.close(GONE)
                return
            await self._socket.send_text(json.dumps(message, separators=(",", ":")))

    async def _turn(self) -> bool:
        """Wait for a turn at drawing; whether it came, or something urgent before it."""
        if self._urgent:
            return False
        with CancelScope() as self._queue:
            await DRAWING.acquire_on_behalf_of(self)
        return not self._queue.cancelled_caught

    def _act(self, action: dict[str, Any]) -> None:
        held = self._held()
        if held is not None and held.feed is not None:
            held.feed.act(held, action)

    def _message(self) -> dict[str, Any] | None:
        """What is new, or None where the session has ended."""
        held = self._held()
        if held is None or held.feed is None:
            return None
        known = self._sent | held.feed.parts(held, not self._sent)
        changed, self._sent = changes(self._sent, known), known
        return {"parts": changed, "again": held.feed.interval(held), "stale": held.stale}


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
