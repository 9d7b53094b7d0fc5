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

import streamlit as st  # noqa: E402
from starlette.middleware import Middleware  # noqa: E402

from app.budget import take_budgets  # noqa: E402
from app.files import ROUTES, Early  # noqa: E402
from app.leaving import LOGS, not_a_leaving_visitor  # noqa: E402
from app.live.memory import share_arenas  # noqa: E402
from app.live.pulse import idle_seconds  # noqa: E402
from app.live.warmup import hold, warm_up  # noqa: E402

#: Seconds after which nobody is expected at once.
HOLD = 3.0

share_arenas()
for name in LOGS:
    logging.getLogger(name).addFilter(not_a_leaving_visitor)
take_budgets(os.environ)
idle_seconds()  # a wrong value is said at the start, not to the first visitor
app = st.App(ROOT / "app" / "script.py", routes=ROUTES, middleware=[Middleware(Early)])

# The first paint must not wait for torch: it is imported once that is done, or nobody has come.
hold(HOLD)
threading.Thread(target=warm_up, name="warm-up", daemon=True).start()
