"""What a session holds of a page: made from the address, at rest while nobody is connected."""

from __future__ import annotations

import secrets
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar

import streamlit as st

from app.live.feed import Feed
from app.live.pulse import Pulse, current_pulse
from app.live.worker import Worker, log

_by_token: weakref.WeakValueDictionary[str, Held] = weakref.WeakValueDictionary()


class Held(ABC):
    """A page's state in one session, and the worker that computes for it.

    Args:
        worker: ends with this object, so its thread must hold no reference to it.

    Attributes:
        token: what the page's charts name it by; nobody else can guess it.
        feed: of its page, once that was drawn.
        line: the newest on which its charts are sent.
        changing: held by who changes settings: both the page and its charts do.
        drawing: held by who makes its charts.
    """

    def __init__(self, worker: Worker) -> None:
        self.token = secrets.token_urlsafe(16)
        _by_token[self.token] = self
        self.feed: Feed[Any] | None = None
        self.line: object = None
        self.changing = threading.RLock()
        self.drawing = threading.Lock()
        self._around: object = None
        self._worker = worker
        weakref.finalize(self, worker.close)

    @property
    def ended(self) -> bool:
        """Whether the worker has ended, as nobody watched for long."""
        return self._worker.ended

    @property
    def name(self) -> str:
        """For the log."""
        return self._worker.name

    def is_drawn(self, feed: Feed[Any]) -> None:
        """The page that has this feed is being drawn as everything stands now."""
        self.feed, self._around = feed, feed.around(self)

    @property
    def stale(self) -> bool:
        """Whether the page shows something around its charts that has changed since."""
        return self.ended or self.feed is None or self._around != self.feed.around(self)

    @abstractmethod
    def leave(self) -> None:
        """The connection is gone: rest until somebody looks again."""

    def come_back(self) -> None:  # noqa: B027 - most pages begin nothing by themselves
        """The page is shown for the first time, or connected again: go on where it was."""


H = TypeVar("H", bound=Held)


def find(token: str) -> Held | None:
    """What is held under a token, or None once no session holds it."""
    return _by_token.get(token)


def current(key: str, make: Callable[[Pulse, str], H]) -> H:
    """What this session holds of a page.

    Args:
        key: in the session's state.
        make: called with the session's pulse, and with the sentence for who comes back after the
            session was idle, "" at first; only where nothing is held, or what is has ended.
    """
    pulse, held = current_pulse(), st.session_state.get(key)
    if held is None or held.ended:
        held = st.session_state[key] = make(pulse, "" if held is None else pulse.ended)
    _watched(id(held), held)
    return held


def _release(held: Held) -> None:
    log.info("%s: the page is closed", held.name)
    held.leave()


@st.cache_resource(scope="session", on_release=_release, show_spinner=False)
def _watched(number: int, _held: Held) -> Held:  # noqa: ARG001 - what tells two apart
    """Released when the tab closes or its connection drops; asked for anew once it is back."""
    _held.come_back()
    return _held
