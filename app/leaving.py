"""A visitor who closes the tab while being sent something is no error of the server."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

#: What starlette raises where Streamlit reads from, or closes, a connection that is gone.
GONE = "WebSocketDisconnected"
#: Where Streamlit empties a closed session's state while a run of its page is just beginning.
CLEARED = ("streamlit", "runtime", "state", "session_state.py")
#: Whose logs have such errors.
LOGS = ("uvicorn.error", "streamlit.error_util")


def not_a_leaving_visitor(record: logging.LogRecord) -> bool:
    """Whether a message is worth logging: Streamlit leaves a closed connection to be an exception.

    Args:
        record: of one of `LOGS`.
    """
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, RuntimeError) and "changed size during iteration" in str(error):
        raised_in = traceback.extract_tb(error.__traceback__)[-1].filename
        return Path(raised_in).parts[-4:] != CLEARED
    return type(error).__name__ != GONE
