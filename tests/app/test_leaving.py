"""The log is quiet of visitors who leave, and of nothing else."""

from __future__ import annotations

import logging
import sys

import pytest
from starlette.websockets import WebSocketDisconnected
from streamlit.runtime.state.session_state import SessionState, Value

from app.leaving import not_a_leaving_visitor


def record_of(error: Exception | None) -> logging.LogRecord:
    try:
        if error is not None:
            raise error
    except Exception:
        found = sys.exc_info()
    else:
        found = None
    return logging.LogRecord("uvicorn.error", logging.ERROR, "", 0, "Exception", None, found)


def test_a_connection_that_is_gone_is_no_error() -> None:
    assert not not_a_leaving_visitor(record_of(WebSocketDisconnected("once a close was sent")))


def test_a_session_that_is_emptied_while_its_page_begins_is_no_error() -> None:
    state = SessionState()
    state._new_widget_state.states |= {"a": Value(1), "b": Value(2)}
    widgets = iter(state._new_widget_state)
    next(widgets)
    state._new_widget_state.clear()  # as the end of the connection does
    with pytest.raises(RuntimeError) as raised:
        next(widgets)
    found = (RuntimeError, raised.value, raised.value.__traceback__)
    record = logging.LogRecord("streamlit.error_util", logging.ERROR, "", 0, "", None, found)
    assert not not_a_leaving_visitor(record)


@pytest.mark.parametrize(
    "error",
    [
        None,
        RuntimeError("dictionary changed size during iteration"),
        RuntimeError("websocket"),
        KeyError("grid"),
    ],
)
def test_everything_else_is_logged(error: Exception | None) -> None:
    assert not_a_leaving_visitor(record_of(error))
