"""What feeds the charts of a page, whoever asks for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

#: Name -> fields of each part of a page's charts, plain JSON.
Parts = dict[str, dict[str, Any]]
H = TypeVar("H")

#: Seconds between two refreshes of a page's charts.
REFRESH = 0.5


def _no_act(_held: object, _action: dict[str, Any]) -> None:
    pass


@dataclass(frozen=True)
class Feed(Generic[H]):
    """How a page makes its charts of what its session holds.

    All are functions of that, called in any thread: it must not hold itself, as it ends with the
    last reference to it.

    Args:
        parts: what is new since the last call, or everything where its second argument is True; a
            part that is left out stays as it is.
        made_of: what the parts are made of; while it equals the last one nothing is made. None
            where `parts` sees to that itself.
        around: what the page shows around its charts; once it differs, the page is drawn anew.
        act: called with each thing that a person did inside the charts, in order; an action is
            {"do": ..., ...} and comes from a browser, so it may be anything else.
        interval: seconds from one question for news to the next.
    """

    parts: Callable[[H, bool], Parts]
    made_of: Callable[[H], object] = lambda _held: None
    around: Callable[[H], object] = lambda _held: None
    act: Callable[[H, dict[str, Any]], None] = _no_act
    interval: Callable[[H], float] = lambda _held: REFRESH
