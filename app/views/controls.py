"""Controls: each shows one field of what a page holds, and hands a new value over."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

#: Seconds in which a browser may still report what a control showed before it was set.
LAG = 3.0


@dataclass
class Late:
    """What a browser may still report of a control that was set by other means than by hand."""

    shown: list[Any] = field(default_factory=list)  # what the control showed before
    since: float = 0.0  # when it was set, on the monotonic clock
    reported: bool = False  # since the browser last asked for news


class Lag:
    """Tells what a browser reports of old controls from what a person has set.

    With whatever it asks for a browser sends the state of all controls, also of those that have not
    heard yet that a drag or another field's change has set them.
    """

    def __init__(self) -> None:
        self._late: dict[str, Late] = {}

    def note(self, key: str, shown: Any) -> None:
        """A control that showed `shown` is set to something else now."""
        late = self._late.setdefault(key, Late())
        late.shown.append(shown)
        late.since = time.monotonic()

    def explains(self, key: str, value: Any) -> bool:
        """Whether a report says no more than that the browser lags; else a person has set it."""
        late = self._late.get(key)
        if late and value in late.shown and time.monotonic() - late.since < LAG:
            late.reported = True
            return True
        self._late.pop(key, None)
        return False

    def put_back(self, key: str) -> bool:
        """Whether a control has just been set back, as its report said no more than that."""
        return key in self._late and self._late[key].reported

    @property
    def waits(self) -> bool:
        """Whether the browser may not have heard of everything that was set."""
        return bool(self._late)

    def asked(self) -> None:
        """The browser asked for news: what it did not report once more, it has heard of."""
        self._late = {key: late for key, late in self._late.items() if late.reported}
        for late in self._late.values():
            late.reported = False


def _lag() -> Lag:
    if "lag" not in st.session_state:
        st.session_state.lag = Lag()
    return st.session_state.lag


def caught_up() -> bool:
    """Take note that the browser asked for the fragment that it asks for by itself; whether it is
    to ask again, as it may still report what controls showed before.
    """
    context = get_script_run_ctx()
    # A run of the whole page may have set controls just now.
    if context is not None and context.fragment_ids_this_run:
        _lag().asked()
    return _lag().waits


@dataclass(frozen=True)
class Controls:
    """The controls of one page.

    What the page holds is the truth, never the widget: a refused value is put back. Ranges are
    checked there too, so that a bad value is answered with its sentence.

    Args:
        held: a dataclass whose fields carry a "label" in their metadata.
        take: called with a field's name and the value that a person set.
        arrow: what one press of an arrow key adds, for the fields that are not whole numbers.
    """

    held: Any
    take: Callable[[str, Any], None]
    arrow: dict[str, float]

    def numbers(self, *rows: tuple[str, ...], disabled: Collection[str] = ()) -> None:
        """Rows of two number fields."""
        for row in rows:
            for column, name in zip(st.columns(2), row, strict=False):
                value = getattr(self.held, name)
                column.number_input(
                    self.label(name),
                    **self._bound(name, value, value=value),
                    step=self.arrow.get(name, 1),
                    format="%d" if isinstance(value, int) else "%.4g",
                    disabled=name in disabled,
                )

    def choose(self, name: str, options: Mapping[Any, str], **look: Any) -> None:
        """A menu of keys, shown by their texts."""
        value = getattr(self.held, name)
        bound = self._bound(name, value, index=list(options).index(value))
        st.selectbox(
            self.label(name), list(options), format_func=options.__getitem__, **bound, **look
        )

    def segments(self, name: str, label: str, options: Mapping[Any, str], **look: Any) -> None:
        """One of a few keys, side by side."""
        value = getattr(self.held, name) or None
        bound = self._bound(name, value, default=value)
        st.segmented_control(
            label,
            list(options),
            format_func=options.__getitem__,
            label_visibility="collapsed",
            **bound,
            **look,
        )

    def several(self, name: str, options: Iterable[str], text: Callable[[str], str]) -> None:
        """Any of some keys."""
        value = list(getattr(self.held, name))
        bound = self._bound(name, value, default=value)
        st.pills(self.label(name), list(options), selection_mode="multi", format_func=text, **bound)

    def label(self, name: str) -> str:
        """What a field is called on the page."""
        return type(self.held).__dataclass_fields__[name].metadata["label"]

    def _bound(self, name: str, value: Any, /, **first: Any) -> dict[str, Any]:
        """Key and callback of a widget that shows `value`; `first` is what it begins with."""
        key = f"field-{name}"
        bound = {"key": key, "on_change": self._taken, "args": (name, value)}
        if key in st.session_state and st.session_state[key] == value:
            # A slow browser may see this run first: without, it would begin at 0 and report that.
            return bound if _lag().put_back(key) else bound | first
        if key in st.session_state:
            _lag().note(key, st.session_state[key])
        # Only where it differs: a browser that is handed a value drops what is being typed.
        st.session_state[key] = value
        return bound

    def _taken(self, name: str, shown: Any) -> None:
        key = f"field-{name}"
        value = st.session_state[key]
        if _lag().explains(key, value):
            st.session_state[key] = shown
        else:
            self.take(name, value)
