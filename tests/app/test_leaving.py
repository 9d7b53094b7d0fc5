"""The log is quiet of visitors who leave, and of nothing else."""

from __future__ import annotations

import logging
import sys

import pytest
from starlette.websockets import WebSocketDisconnected

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


@pytest.mark.parametrize("error", [None, RuntimeError("websocket"), KeyError("grid")])
def test_everything_else_is_logged(error: Exception | None) -> None:
    assert not_a_leaving_visitor(record_of(error))
