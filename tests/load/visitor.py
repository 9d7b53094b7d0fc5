"""A page of the lab without a browser: Streamlit's protocol over a websocket.

The page keeps the timers: the server says how often a fragment wants to be run (AutoRerun), and the
page asks for each run. A press of a button is one more such request, with the button's state. What
the charts show, and a press inside them, goes over a line of their own (app/live/line.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.Common_pb2 import FileUploaderState, FileURLsRequest, UploadedFileInfo
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

#: Where the token of a signed-in visitor would stand; this server has no accounts.
NO_TOKEN = "PLACEHOLDER_AUTH_TOKEN"  # noqa: S105
GRID, REPORT = "chatterscope.grid", "chatterscope.report"
#: Widgets whose state a press or a change sends, and the name of their label.
LABELLED = ("button", "download_button", "number_input", "selectbox", "file_uploader")

#: Seconds until something is asked for again that was not answered, as in grid.js.
PATIENCE = 2.0
#: Buttons that the grid draws, and what it then asks for.
IN_GRID = {"Run": "run", "Pause": "pause", "Step": "step", "Reset": "reset", "New seed": "seed"}


class Visitor:
    """One open page: what it was sent, and requests to run it again.

    Attributes:
        text: the sentence above the grid, "" for none since the page was last run.
        report: what the page Checkpoint was last sent of its report.
        parts: the grid, as a browser would hold it after all messages.
        heard: messages to the grid: each brings it up to date, whether or not anything is new.
        shown: steps that were shown so far.
        refreshed: `time.perf_counter` of every message to the grid that brought something new.
        bytes: received since the page was opened.
        session_id: names the session to a server that is connected to again.
    """

    def __init__(self, url: str, query: str = "") -> None:
        self._http = url
        self._url = url.replace("http", "ws", 1) + "/_stcore/stream"
        self._query = query
        self._socket: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._timers: dict[str, tuple[float, asyncio.Task[None]]] = {}
        self._page = ""
        self._changed = asyncio.Event()
        #: The charts' line: what it is to, who reads it, and when news were last asked for.
        self._held = self._fragment = ""
        self._line: ClientConnection | None = None
        self._following: asyncio.Task[None] | None = None
        self._asked = self._redrawn = 0.0
        #: Label -> (id, fragment) of a widget, as last sent.
        self._widgets: dict[str, tuple[str, str]] = {}
        #: Values that were chosen, by widget: sent with every request, as of two requests that the
        #: server has not begun the newer replaces the older one's.
        self._chosen: dict[str, WidgetState] = {}
        self._urls: Any = None
        #: Path -> hash of a page; it names the page to the server.
        self._pages: dict[str, str] = {}
        self.session_id = ""
        self.parts: dict[str, Any] = {}
        self.text = ""
        self.report: dict[str, Any] = {}
        self.heard = self.shown = 0
        self.refreshed: list[float] = []
        self.bytes = 0

    async def open(self) -> None:
        """Connect, or connect again to the same session, and ask for the page."""
        known = ["streamlit", NO_TOKEN, *filter(None, [self.session_id])]
        self._socket = await connect(self._url, subprotocols=known, max_size=None)  # type: ignore[arg-type]
        self._reader = asyncio.create_task(self._read(self._socket))
        await self.rerun()

    async def close(self) -> None:
        """Close the tab, or lose the connection: the server sees no difference."""
        self._stop_timers()
        await self._leave_line()
        if self._socket is not None:
            await self._socket.close()
        if self._reader is not None:
            await self._reader

    @property
    def status(self) -> dict[str, Any]:
        """What the bar shows: state and step; {} before the first message."""
        return self.parts.get("status", {})

    @property
    def step(self) -> int:
        """The last step that the page has heard of."""
        return self.status.get("step", 0)

    async def until(self, condition: Callable[[Visitor], object], seconds: float) -> float:
        """Wait for a message that makes a condition true; the moment it came.

        Raises:
            TimeoutError: it did not become true in time.
        """
        try:
            async with asyncio.timeout(seconds):
                while not condition(self):
                    if self._reader is not None and self._reader.done():
                        self._reader.result()  # raises what went wrong
                        raise ConnectionError("the server closed the connection")
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            said = f"{self.status}, {self.text!r}"
            raise TimeoutError(f"not within {seconds:g} s; the page says {said}") from None
        return time.perf_counter()

    async def press(self, label: str) -> float:
        """Press a button, of the page or of the grid; the moment it was pressed."""
        begun = time.perf_counter()
        if label in self._widgets:
            widget, fragment = self._widgets[label]
            await self.rerun(fragment, [WidgetState(id=widget, trigger_value=True)])
        else:
            await self.act(IN_GRID[label])
        return begun

    async def fill(self, label: str, value: float) -> None:
        """Set a number field."""
        widget, fragment = self._widgets[label]
        self._chosen[widget] = WidgetState(id=widget, double_value=value)
        await self.rerun(fragment)

    async def go(self, path: str) -> None:
        """Go to another page of the same session; "" is the lab."""
        await self._leave_line()
        self._stop_timers()  # at once, as a browser does: a late one would ask for the old page
        self._page = self._pages[path]
        self._chosen.clear()
        await self.rerun()

    async def upload(self, label: str, name: str, data: bytes) -> None:
        """Choose a file in a file field: ask where it goes, send it there, and say that it is."""
        await self.until(lambda page: label in page._widgets, 60)
        self._urls = None
        asked = FileURLsRequest(request_id=name, file_names=[name], session_id=self.session_id)
        while self._urls is None:
            # A run that begins just then clears the server's queue, and with it the answer.
            await self._send(BackMsg(file_urls_request=asked))
            with contextlib.suppress(TimeoutError):
                await self.until(lambda page: page._urls, 3)
        (urls,) = self._urls.file_urls
        await asyncio.to_thread(self._put, urls.upload_url, name, data)
        info = UploadedFileInfo(name=name, size=len(data), file_id=urls.file_id, file_urls=urls)
        widget, fragment = self._widgets[label]
        chosen = FileUploaderState(uploaded_file_info=[info])
        self._chosen[widget] = WidgetState(id=widget, file_uploader_state_value=chosen)
        await self.rerun(fragment)

    def _put(self, path: str, name: str, data: bytes) -> None:
        """One multipart request, with the token that proves that this page asked for it."""
        with urllib.request.urlopen(f"{self._http}/_stcore/health") as answer:  # noqa: S310
            token = answer.headers["Set-Cookie"].partition("=")[2].partition(";")[0]
        edge = "chatterscope-edge"
        head = f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
        request = urllib.request.Request(  # noqa: S310
            urljoin(f"{self._http}/", path),
            data=head.encode() + data + f"\r\n--{edge}--\r\n".encode(),
            method="PUT",
            headers={
                "Content-Type": f"multipart/form-data; boundary={edge}",
                "Cookie": f"_streamlit_xsrf={token}",
                "X-Xsrftoken": token,
            },
        )
        urllib.request.urlopen(request).close()  # noqa: S310

    async def act(self, do: str) -> None:
        """What the grid's own code asks for: an action of a person."""
        await self.until(lambda page: page._line is not None, PATIENCE)
        assert self._line is not None
        self._asked = time.perf_counter()
        await self._line.send(json.dumps({"do": do}))

    async def _follow(self, kind: str, held: str) -> None:
        """Ask for news of the charts, as often as the server says, until the line is closed."""
        address = f"{self._http.replace('http', 'ws', 1)}/chatterscope/line"
        parts: dict[str, Any] = {}
        async with connect(address, max_size=None) as line, contextlib.AsyncExitStack() as over:
            over.enter_context(contextlib.suppress(ConnectionClosed))
            await line.send(held)
            self._line = line
            due: float | None = 0.0
            while True:
                try:
                    async with asyncio.timeout(None if due is None else due - time.perf_counter()):
                        frame = await line.recv()
                except TimeoutError:
                    due, self._asked = None, time.perf_counter()
                    await line.send("")
                    continue
                self.bytes += len(frame)
                message = json.loads(frame)
                due = self._asked + message["again"]
                parts = merged(parts, message["parts"])
                if kind == GRID:
                    self._show(parts, news=bool(message["parts"]))
                else:
                    self.report = parts
                if message["stale"]:
                    await self._redraw()
                self._changed.set()

    def _show(self, parts: dict[str, Any], *, news: bool) -> None:
        before, self.parts = self.step, parts
        self.heard += 1
        self.shown += self.step != before
        if news:
            self.refreshed.append(time.perf_counter())

    async def _redraw(self) -> None:
        """Ask for what is around the charts, unless that was done just now."""
        if time.perf_counter() > self._redrawn + PATIENCE:
            self._redrawn = time.perf_counter()
            await self.rerun(self._fragment)

    async def _leave_line(self) -> None:
        if self._following is not None:
            self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionClosed):
                await self._following
        self._following, self._held, self._line = None, "", None

    async def rerun(
        self, fragment: str = "", presses: list[WidgetState] | None = None, *, auto: bool = False
    ) -> None:
        """Ask for a run of the page, or of one fragment of it."""
        wanted = ClientState(
            query_string=self._query,
            page_script_hash=self._page,
            fragment_id=fragment,
            is_auto_rerun=auto,
        )
        wanted.widget_states.widgets.extend([*self._chosen.values(), *(presses or [])])
        await self._send(BackMsg(rerun_script=wanted))

    async def _send(self, message: BackMsg) -> None:
        assert self._socket is not None
        with contextlib.suppress(ConnectionClosed):
            await self._socket.send(message.SerializeToString())

    async def _read(self, socket: ClientConnection) -> None:
        try:
            async for frame in socket:
                assert isinstance(frame, bytes)
                self.bytes += len(frame)
                await self._receive(ForwardMsg.FromString(frame))
                self._changed.set()
        except ConnectionClosed:
            pass
        finally:
            self._changed.set()

    async def _receive(self, message: ForwardMsg) -> None:
        match message.WhichOneof("type"):
            case "new_session":
                self.session_id = message.new_session.initialize.session_id
                if not message.metadata.run.fragment_ids:
                    self._page = message.new_session.page_script_hash
                    self._stop_timers()
                    self.text = ""
            case "navigation":
                pages = message.navigation.app_pages
                # The default page has the empty path.
                self._pages = {
                    "" if page.is_default else page.url_pathname: page.page_script_hash
                    for page in pages
                }
            case "file_urls_response":
                self._urls = message.file_urls_response
            case "auto_rerun":
                self._start_timer(message.auto_rerun.fragment_id, message.auto_rerun.interval)
            case "stop_auto_rerun":
                for fragment in message.stop_auto_rerun.fragment_ids:
                    self._stop_timer(fragment)
            case "delta" if message.delta.WhichOneof("type") == "new_element":
                await self._draw(message.delta.new_element, message.delta.fragment_id)

    async def _draw(self, element: Any, fragment: str) -> None:
        kind = element.WhichOneof("type")
        shown = getattr(element, kind)
        if kind in LABELLED:
            # One place, one widget: Pause stands where Run stood, and has its key.
            self._widgets = {k: v for k, v in self._widgets.items() if v[0] != shown.id}
            self._widgets[shown.label] = (shown.id, fragment)
            if kind == "number_input" and shown.set_value and shown.id in self._chosen:
                self._chosen[shown.id].double_value = shown.value
        elif kind == "exception":
            raise AssertionError(f"the page shows an exception: {shown.message}")
        elif kind == "text":
            self.text = shown.body
        elif kind == "bidi_component" and shown.component_name in (GRID, REPORT):
            data = json.loads(shown.json)
            self._fragment = fragment
            if data["held"] != self._held:
                await self._leave_line()
                self._held = data["held"]
                following = self._follow(shown.component_name, self._held)
                self._following = asyncio.create_task(following)
            if data.get("late"):
                await self._redraw()

    def _start_timer(self, fragment: str, interval: float) -> None:
        if fragment in self._timers and self._timers[fragment][0] == interval:
            return
        self._stop_timer(fragment)

        async def ask() -> None:
            due = time.perf_counter()
            while True:
                due += interval
                await asyncio.sleep(due - time.perf_counter())
                await self.rerun(fragment, auto=True)

        self._timers[fragment] = interval, asyncio.create_task(ask())

    def _stop_timer(self, fragment: str) -> None:
        if fragment in self._timers:
            self._timers.pop(fragment)[1].cancel()

    def _stop_timers(self) -> None:
        for fragment in list(self._timers):
            self._stop_timer(fragment)


def merged(old: Any, changes: Any) -> Any:
    """`old` with a message's changes, as grid.js merges them: None for a key that is gone."""
    if not (isinstance(old, dict) and isinstance(changes, dict)):
        return changes
    new = old | {key: merged(old.get(key), value) for key, value in changes.items()}
    return {key: value for key, value in new.items() if changes.get(key, 0) is not None}
