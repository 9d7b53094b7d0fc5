"""A visitor who closes the tab while being sent something is no error of the server."""

from __future__ import annotations

import logging

#: What starlette raises where Streamlit reads from, or closes, a connection that is gone.
GONE = "WebSocketDisconnected"


def not_a_leaving_visitor(record: logging.LogRecord) -> bool:
    """Whether a message is worth logging: Streamlit leaves a closed connection to be an exception.

    Args:
        record: of the web server's log.
    """
    error = record.exc_info[1] if record.exc_info else None
    return type(error).__name__ != GONE
