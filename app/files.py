"""The files that the page's own code is made of, and how a browser gets them early."""

from __future__ import annotations

import functools
import gzip
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from app.glossary import as_json
from app.live.line import answer_line
from app.report.page_files import GRID, PLOTLY

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MODULES = sorted(GRID.glob("*.js"))
#: Addresses whose page has a grid of charts.
WITH_CHARTS = {"", "lab", "instruments", "stationarity"}
#: Else they are asked for once Streamlit's own code has run: a second and a half later.
EARLY = ", ".join(
    (
        "<chatterscope/plotly.min.js>; rel=preload; as=script",
        "<chatterscope/grid.css>; rel=preload; as=style",
        *(f"<chatterscope/{path.name}>; rel=modulepreload" for path in MODULES),
    )
)


class Early:
    """Names the files of the charts in the answer that holds the page itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"].rpartition("/")[2] not in WITH_CHARTS:
            await self._app(scope, receive, send)
            return

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("content-type", "").startswith("text/html"):
                    headers.append("Link", EARLY)
            await send(message)

        await self._app(scope, receive, named)


@functools.cache
def packed_plotly() -> bytes:
    """plotly.js as it goes over the wire: packed once, not for each visitor."""
    return gzip.compress(PLOTLY.read_bytes(), 6)


def _plotly(request: Request) -> Response:
    headers = {"Cache-Control": "max-age=86400", "Vary": "Accept-Encoding"}
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return FileResponse(PLOTLY, headers=headers)
    headers["Content-Encoding"] = "gzip"
    return Response(packed_plotly(), media_type="text/javascript", headers=headers)


def _own(path: Path) -> Route:
    async def respond(_request: Request) -> FileResponse:
        return FileResponse(path, headers={"Cache-Control": "no-cache"})

    return Route(f"/chatterscope/{path.name}", respond)


async def _glossary(_request: Request) -> JSONResponse:
    return JSONResponse(as_json(), headers={"Cache-Control": "no-cache"})


ROUTES: list[BaseRoute] = [
    Route("/chatterscope/plotly.min.js", _plotly),
    *map(_own, [*MODULES, GRID / "grid.css"]),
    Route("/chatterscope/glossary.json", _glossary),
    WebSocketRoute("/chatterscope/line", answer_line),
]
