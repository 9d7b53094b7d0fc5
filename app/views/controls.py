"""Controls: each shows one field of what a page holds, and hands a new value over."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st


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
        bound = {"key": key, "on_change": self._taken, "args": (name,)}
        # Only where it differs: a browser that is handed a value drops what is being typed.
        if key not in st.session_state or st.session_state[key] != value:
            st.session_state[key] = value
            return bound
        # A slow browser may see this run first: without, it would begin at 0 and report that.
        return bound | first

    def _taken(self, name: str) -> None:
        self.take(name, st.session_state[f"field-{name}"])
