"""The page's own files: named early where charts are drawn, packed once, and all there."""

from __future__ import annotations

import asyncio
import gzip
import re
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from app.files import EARLY, ROUTES, Early
from app.report.page_files import PLOTLY


async def _page(_request: object) -> Response:
    return HTMLResponse("<title>page</title>")


SERVER = Starlette(routes=[*ROUTES, Route("/{page:path}", _page)], middleware=[Middleware(Early)])


def got(path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a GET."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()  # the visitor stays
        return {}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": [(name.replace("_", "-").encode(), v.encode()) for name, v in headers.items()],
    }
    asyncio.run(SERVER(scope, receive, send))
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], found, b"".join(part.get("body", b"") for part in sent[1:])


@pytest.mark.parametrize("path", ["/", "/lab", "/instruments", "/stationarity", "/class/lab"])
def test_a_page_with_charts_names_their_files(path: str) -> None:
    assert got(path)[1]["link"] == EARLY


@pytest.mark.parametrize("path", ["/lessons", "/glossary", "/score", "/chatterscope/grid.js"])
def test_no_other_answer_does(path: str) -> None:
    assert "link" not in got(path)[1]


def test_every_named_file_is_there() -> None:
    names = re.findall(r"<(.*?)>", EARLY)
    assert {"chatterscope/plotly.min.js", "chatterscope/grid.js"} < set(names)
    for name in names:
        status, _, body = got(f"/{name}")
        assert status == 200, name
        assert len(body) > 100, name


def test_plotly_is_packed_for_who_can_unpack_it() -> None:
    _, headers, body = got("/chatterscope/plotly.min.js", accept_encoding="gzip, br")
    assert headers["content-encoding"] == "gzip"
    assert headers["vary"] == "Accept-Encoding"
    assert gzip.decompress(body) == PLOTLY.read_bytes()
    _, headers, body = got("/chatterscope/plotly.min.js")
    assert "content-encoding" not in headers
    assert body == PLOTLY.read_bytes()
