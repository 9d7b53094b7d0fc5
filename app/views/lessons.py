"""The page Lessons: a question, a prediction, a preset, what to read off, and a folded answer."""

from __future__ import annotations

import streamlit as st

from app.lessons.lesson import PARTS, Lesson, Part, lessons
from app.views import looks
from app.views.lab import STYLE


def show() -> None:
    """Draw the page."""
    st.html(STYLE)
    every = lessons()
    keys = list(every)
    if "lesson" not in st.session_state:
        asked = st.query_params.get("lesson", keys[0])
        st.session_state.lesson = asked if asked in every else keys[0]
        if asked not in every:
            # Never as markdown: a link may have put anything into it.
            st.container(key="message").text(
                f"There is no lesson {ascii(asked)[:60]}; expected one of {', '.join(keys)}."
            )
    with st.sidebar:
        key = st.radio(
            "Lessons",
            keys,
            format_func=lambda key: every[key].title,
            key="lesson-choice",
            index=keys.index(st.session_state.lesson),
        )
    st.session_state.lesson = key
    looks.address({"lesson": key})
    with st.container(key="lesson", width=760):
        _lesson(every[key])


def _lesson(lesson: Lesson) -> None:
    st.markdown(f"## {lesson.title}")
    st.markdown(lesson.text)
    for part in lesson.parts:
        if part.title == "Answer":
            with st.expander("Answer", key=f"answer-{lesson.key}"):
                st.markdown(part.text)
            continue
        st.markdown(f"#### {part.title}")
        if part.text:
            st.markdown(part.text)
        _presets(part)
        if part.title == PARTS[0]:
            st.text_area(
                "Your prediction; it stays on this page",
                key=f"prediction-{lesson.key}",
                height=68,
            )


def _presets(part: Part) -> None:
    """Buttons that open a preset beside the lesson, in a tab of its own."""
    if part.presets:
        with st.container(horizontal=True, gap="small"):
            for label, address in part.presets:
                st.link_button(label, looks.beside(address))
