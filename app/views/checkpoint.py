"""The page Checkpoint: a file is dropped, and an instability report appears."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from app.live.feed import Feed, Parts
from app.report.component import draw_report
from app.views import lab, looks
from app.views.lab import STYLE
from sadam.lanes import LANES

if TYPE_CHECKING:
    from streamlit.runtime.uploaded_file_manager import UploadedFile

    from app.live.inspecting import Desk, Progress, Upload
    from app.live.session import Lab

#: Seconds between two refreshes while something is read or measured.
REFRESH = 1.0
#: Megabytes of an upload; the readers hold to it, as the server does not.
UPLOAD_MB = 50
#: Seconds that a save waits for the step in progress, or for a run that is being prepared.
PATIENCE = 30.0
LIKELIEST = "likeliest"
ACTIVATIONS = {"": "any; relu for a plain stack", "relu": "relu", "gelu": "gelu", "tanh": "tanh"}
INTRODUCTION = (
    "Drop a checkpoint above: a torch.save file of plain tensors (a state dict, with or "
    "without Adam's state) or a safetensors file, at most 50 MB. Nothing in it is run. The report "
    "says where the weights sit, whether the loss is rough there, in which layer, and whether an "
    "optimizer would chatter."
)


def show() -> None:
    """Draw the page."""
    # Imported here: it loads torch, which the lab's first paint must not wait for.
    from app.live.inspecting import current_desk

    st.html(STYLE)
    looks.address({})
    desk = current_desk()
    desk.is_drawn(Feed(_parts, _report, interval=lambda _desk: REFRESH))
    before = desk.inspector.progress()
    bar = st.container(key="bar", horizontal=True, vertical_alignment="center", gap="small")
    _choices(desk, before)
    progress = desk.inspector.progress()
    st.session_state.drawn_inspection = _drawn(progress)
    with bar:
        _bar(desk, progress)
    # Always there, so that a message does not move the report, which would be built anew.
    slot = st.empty()
    if text := "\n\n".join(filter(None, (progress.message, progress.misfit))):
        # Never as markdown: names in it come out of a file.
        slot.container(key="message").text(text)
    if progress.state == "empty":
        st.text(INTRODUCTION)
    elif progress.report is None and progress.found:
        st.text("\n".join(progress.found))
    st.fragment(_live, run_every=REFRESH if progress.working else None)(desk)


def _drawn(progress: Progress) -> tuple[object, ...]:
    """What the parts outside of the fragment show."""
    shown = (progress.state, progress.message, progress.misfit, progress.found, progress.network)
    return (*shown, progress.start is None)


def _bar(desk: Desk, progress: Progress) -> None:
    st.markdown("**Chatterscope**")
    st.button(
        "Cancel",
        key="cancel",
        on_click=desk.inspector.cancel,
        disabled=not progress.working,
    )
    if st.button(
        "Train from here",
        key="resume",
        disabled=progress.start is None,
        help="In the lab, every optimizer from these weights; for demo networks",
    ):
        from app.live.session import current_lab

        assert progress.start is not None
        current_lab().resume(progress.start)
        st.switch_page(st.Page(lab.show, default=True))
    for label, kind, mime in (
        ("Download HTML", "html", "text/html"),
        ("Download JSON", "json", "application/json"),
    ):
        st.download_button(
            label,
            data=lambda kind=kind: _written(desk, kind),
            file_name=f"report.{kind}",
            mime=mime,
            key=f"download_{kind}",
            on_click="ignore",
            disabled=progress.state != "finished",
        )


def _written(desk: Desk, kind: str) -> bytes:
    """The report as a file, made when it is asked for."""
    from app.report.page import report_html, report_json

    report = desk.inspector.progress().report
    assert report is not None
    return (report_html if kind == "html" else report_json)(report).encode()


def _choices(desk: Desk, progress: Progress) -> None:
    """The files on the page, where a folded sidebar does not hide them, and how they are read."""
    from app.live.inspecting import Request

    labels = {
        "file": "Checkpoint",
        "data": "Data: .npz (X, y) or CSV",
        "second": "Second checkpoint",
    }
    uploads = {}
    for column, (name, label) in zip(st.columns(3), labels.items(), strict=True):
        with column:
            uploads[name] = _upload(label, name)
    with st.sidebar:
        chosen, activation = _reading(progress)
        if "lab" in st.session_state and not st.session_state.lab.ended:
            _saving(st.session_state.lab)
    file = uploads["file"]
    if file is not None:
        desk.ask(Request(file, uploads["second"], uploads["data"], chosen, activation))


def _reading(progress: Progress) -> tuple[str | None, str | None]:
    """The network and the activation that a person chooses, None for any."""
    titles = {LIKELIEST: "the likeliest"} | progress.networks
    if st.session_state.get("field-network") not in titles:
        st.session_state["field-network"] = LIKELIEST
    network = st.selectbox(
        "Network",
        list(titles),
        key="field-network",
        format_func=titles.__getitem__,
        help="Files do not say rounding, activation or pooling",
    )
    activation = st.selectbox(
        "Activation",
        list(ACTIVATIONS),
        key="field-activation",
        format_func=ACTIVATIONS.__getitem__,
        help="Of a plain stack; and only demo networks with it",
    )
    return None if network == LIKELIEST else network, activation or None


def _saving(held: Lab) -> None:
    """The lab's run as a file that can be uploaded here."""
    experiment = held.experiment
    if experiment.problem.network is None:
        return
    lane = st.selectbox(
        "The lab's run of",
        experiment.lanes,
        key="field-lane",
        format_func=lambda key: LANES[key].title,
        help="Of the first seed, as it now stands",
    )
    st.download_button(
        "Save checkpoint",
        data=lambda: _saved(held, lane),
        file_name=f"{experiment.scenario}-{lane}.pt",
        key="save",
        on_click="ignore",
        help="Weights, and Adam's state where the optimizer has one",
        width="stretch",
    )


def _saved(held: Lab, lane: str) -> bytes:
    from app.report.saving import saved

    return held.trainer.ask(lambda run: saved(run, lane)).result(PATIENCE)


def _upload(label: str, name: str) -> Upload | None:
    from app.live.inspecting import Upload

    found: UploadedFile | None = st.file_uploader(
        label, key=f"upload-{name}", max_upload_size=UPLOAD_MB
    )
    return None if found is None else Upload(found.file_id, found.name, found.getvalue())


def _live(desk: Desk) -> None:
    """How far it is; draws the page anew once there is more to say of it."""
    progress = desk.inspector.progress()
    if _drawn(progress) != st.session_state.drawn_inspection:
        st.rerun()  # the bar and the choices are outside of this fragment
    done = 0.0 if progress.report is None else progress.report.done
    if progress.working:
        st.progress(done, progress.doing)  # words of our own
    draw_report("report", token=desk.token)


def _report(desk: Desk) -> tuple[object]:
    return (desk.inspector.progress().report,)  # None is one too: an older report goes


def _parts(desk: Desk, _everything: bool) -> Parts:
    from app.report.page import report_parts

    report = desk.inspector.progress().report
    return desk.replacing({} if report is None else report_parts(report))
