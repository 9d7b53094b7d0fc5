"""How often pages ask for news: the more of them train, the less often, and never below 1 Hz."""

from __future__ import annotations

import pytest

from app.live import pace
from app.live.pace import GONE, REFRESH, SLOWEST, Pace


def test_few_pages_refresh_twice_a_second_and_many_less_often() -> None:
    shared = Pace()
    intervals = [shared.interval(f"page {n}", training=True) for n in range(60)]
    assert intervals[:20] == [REFRESH] * 20
    assert intervals[32] == 0.8
    assert intervals[-1] == SLOWEST < 1.0
    assert intervals == sorted(intervals)


def test_a_page_that_stands_still_or_went_away_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shared, now = Pace(), 0.0
    monkeypatch.setattr(pace.time, "monotonic", lambda: now)
    for n in range(40):
        shared.interval(f"page {n}", training=True)
    for n in range(20, 40):
        shared.interval(f"page {n}", training=False)
    assert shared.interval("page 0", training=True) == REFRESH
    for n in range(40):
        shared.interval(f"page {n}", training=True)
    now = GONE + 0.1
    assert shared.interval("page 0", training=True) == REFRESH
