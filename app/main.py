"""The server: the page's script, and the files that its charts need."""

from __future__ import annotations

import logging
import os
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import plotly  # noqa: E402
import streamlit as st  # noqa: E402
from starlette.responses import FileResponse, JSONResponse  # noqa: E402
from starlette.routing import Route  # noqa: E402

from app.budget import take_budgets  # noqa: E402
from app.glossary import as_json  # noqa: E402
from app.leaving import not_a_leaving_visitor  # noqa: E402
from app.live.pulse import idle_seconds  # noqa: E402
from app.live.warmup import warm_up  # noqa: E402

GRID = ROOT / "app" / "grid"
FILES = [
    Path(plotly.__file__).parent / "package_data" / "plotly.min.js",
    *sorted(GRID.glob("*.js")),
    GRID / "grid.css",
]


def _file(path: Path) -> Route:
    cache = "max-age=86400" if path.name == "plotly.min.js" else "no-cache"

    async def respond(_request: object) -> FileResponse:
        return FileResponse(path, headers={"Cache-Control": cache})

    return Route(f"/chatterscope/{path.name}", respond)


async def _glossary(_request: object) -> JSONResponse:
    return JSONResponse(as_json(), headers={"Cache-Control": "no-cache"})


logging.getLogger("uvicorn.error").addFilter(not_a_leaving_visitor)
take_budgets(os.environ)
idle_seconds()  # a wrong value is said at the start, not to the first visitor
ROUTES = [_file(path) for path in FILES] + [Route("/chatterscope/glossary.json", _glossary)]
app = st.App(ROOT / "app" / "script.py", routes=ROUTES)

# The first paint must not wait for torch: it is imported beside the server's own start.
threading.Thread(target=warm_up, name="warm-up", daemon=True).start()
