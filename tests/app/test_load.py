"""A small class and a short soak on a real server, with pages that speak Streamlit's protocol.

Conditions alone: how fast a class is served is measured by `make load`.
"""

from __future__ import annotations

import asyncio
import sys

import pytest

from tests.load.crowd import PATIENCE, PRESSES, measure, run
from tests.load.served import Served, served
from tests.load.soak import IDLE, settled, soak
from tests.load.visitor import Visitor

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="reads what a process uses from /proc"
)


@pytest.fixture(scope="module")
def server():
    with served(CHATTERSCOPE_IDLE=IDLE) as server:
        yield server


def test_three_pages_train_side_by_side(server: Served) -> None:
    figures = asyncio.run(measure(server, visitors=3, browsers=0, seconds=5))
    assert min(figures.steps) > 0
    assert min(figures.refreshes) > 0
    assert len(figures.pauses) == 3 * PRESSES
    assert "Traceback" not in server.log


def test_a_page_that_comes_back_goes_on_and_one_that_stays_away_is_told(server: Served) -> None:
    asyncio.run(_away(server))
    assert "Traceback" not in server.log


async def _away(server: Served) -> None:
    page = Visitor(server.url, "scenario=moons&steps=100000&lr=0.02")
    await page.open()
    await page.until(lambda page: page.status.get("state") == "paused", PATIENCE)
    await run(page)
    session, step = page.session_id, page.step
    await page.close()
    await page.open()
    await page.until(lambda page: page.step > step, PATIENCE)
    assert page.session_id == session
    assert not page.text
    await page.close()
    await settled(server)
    await page.open()
    await page.until(lambda page: page.text, PATIENCE)
    assert page.session_id == session
    assert page.text == (
        f"Nobody watched for {IDLE} seconds, so the server has ended the run: this is the "
        "experiment of the page's address from its start."
    )
    await page.until(lambda page: page.status["state"] == "paused" and page.step == 0, PATIENCE)
    await page.close()


def test_sessions_that_come_and_go_leave_nothing_behind(server: Served) -> None:
    found = asyncio.run(soak(server, seconds=30, at_once=2))
    assert found.errors == 0
    assert found.after.threads <= found.warm.threads
    # A short warm-up has not met everything yet; `make soak` holds the server to 1.1.
    assert found.growth < 1.3
