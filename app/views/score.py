"""The page Score: how well smooth, kink and jump are told apart, as `make score` kept it."""

from __future__ import annotations

from html import escape
from pathlib import Path

import streamlit as st

from app.charts.score import auc_chart
from app.report.component import draw_report
from app.score.board import (
    auc_table,
    named,
    protocol_list,
    sentence,
    setting_name,
    small_tables,
)
from app.score.kept import RESULT, KeptError, load
from app.score.sources import digest
from app.views import looks
from app.views.lab import STYLE

OWN_STYLE = Path(__file__).with_name("score.html")
SMALL_NOTE = (
    "Bold: the interval lies above 0.5. Pale: it holds 0.5. Underlined: below, the wrong way."
)


def show() -> None:
    """Draw the page."""
    st.html(STYLE)
    st.html(OWN_STYLE)
    looks.address({})
    try:
        kept = load(RESULT)
    except KeptError as error:
        # Never as markdown: the file may hold anything.
        st.container(key="message").text(str(error))
        return
    protocol = kept.protocol
    with st.container(key="bar", horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown("**Chatterscope**")
        size = _choose("size", {size: f"P = {size}" for size in protocol.sizes}, last=True)
        # By its place, as None would be no choice at all.
        places = {at: f"t {named(t)}" for at, t in enumerate(protocol.distances)}
        distance = protocol.distances[_choose("distance", places, last=True)]
        seed = _choose("seed", {seed: f"seed {seed}" for seed in protocol.seeds})
    words = escape(sentence(kept, seed, size, distance))
    st.html(f'<p class="score-sentence">{words}</p>')
    with st.container(key="score-both"):
        rows = kept.table(seed, size, distance)
        parts = {
            "words": {"page": "score", "name": setting_name(seed, size, distance)},
            "scores": auc_table(rows),
            "chart-auc": auc_chart(rows, protocol.level) | {"place": 0},
        }
        draw_report("score", parts=parts)
        st.html(protocol_list(kept, same_sources=digest() == kept.sources))
    st.html(
        f'<div class="score-wide">{small_tables(kept, seed)}</div>'
        f'<p class="score-note">{SMALL_NOTE}</p>'
    )


def _choose(name: str, options: dict[int, str], *, last: bool = False) -> int:
    """One of a few, the first or the last by default."""
    return st.segmented_control(
        name.capitalize(),
        list(options),
        key=f"score-{name}",
        default=list(options)[-1 if last else 0],
        format_func=options.__getitem__,
        label_visibility="collapsed",
        required=True,
    )
