"""The page Score: how well smooth, kink and jump are told apart, as `make score` kept it."""

from __future__ import annotations

from html import escape
from pathlib import Path

import streamlit as st

from app.score.board import large_table, named, protocol_list, sentence, small_tables
from app.score.kept import RESULT, KeptError, load
from app.score.sources import digest
from app.views import looks

STYLE = Path(__file__).with_name("score.html")
NOTE = (
    "AUC: the chance that a function of the first class reads rougher than one of the second, "
    "ties half. Blue dot: the interval lies above 0.5, a coin. Hollow: it holds 0.5. Orange "
    "square: below, the score points the wrong way."
)
SMALL_NOTE = (
    "Bold: the interval lies above 0.5. Pale: it holds 0.5. Underlined: below, the wrong way."
)


def show() -> None:
    """Draw the page."""
    st.html(STYLE)
    looks.address({})
    try:
        kept = load(RESULT)
    except KeptError as error:
        st.markdown("**Score**")
        st.html(f'<div class="score-message">{escape(str(error))}</div>')
        return
    protocol = kept.protocol
    with st.container(key="score-bar", horizontal=True, vertical_alignment="center", gap="medium"):
        st.markdown("**Score:** are smooth, kink and jump told apart?")
        size = _choose("size", {size: f"P = {size}" for size in protocol.sizes}, last=True)
        # By its place, as None would be no choice at all.
        places = {at: f"t {named(t)}" for at, t in enumerate(protocol.distances)}
        distance = protocol.distances[_choose("distance", places, last=True)]
        seed = _choose("seed", {seed: f"seed {seed}" for seed in protocol.seeds})
    words = escape(sentence(kept, seed, size, distance))
    table = large_table(kept.table(seed, size, distance))
    lines = protocol_list(kept, same_sources=digest() == kept.sources)
    st.html(
        f'<p class="score-sentence">{words}</p><div class="score-both"><div>{table}'
        f'<p class="score-note">{NOTE}</p></div><div>{lines}</div></div>'
    )
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
