"""These tests measure processor time, not the clock: a busy machine must not decide them."""

from __future__ import annotations

import pytest

from app.checkpoints import sandbox


@pytest.fixture(scope="session", autouse=True)
def patience() -> None:
    sandbox.CHILD_SECONDS = 300
