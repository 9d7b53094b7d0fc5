"""Copy link, and a run and its experiment as files."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urlencode

import streamlit as st
from streamlit.components import v2

from app.experiment import MOST_BYTES
from app.export.taken import Taken, file_name
from app.link import Link
from app.live.session import Lab
from app.live.view import View
from app.views import looks

#: Megabytes of a run's file, see `app.export.numbers`; only its beginning is read.
UPLOAD_MB = 32
#: What the File menu saves beside the experiment: label, what it is, ending, type, help.
FILES = (
    ("Save run as a page", "", "html", "text/html", "All views at this step; needs no network"),
    ("Save run as JSON", "", "json", "application/json", "Every number that the run holds"),
    ("Save slice", "slice", "npz", "application/octet-stream", "Loss, map and paths for NumPy"),
)
NOT_BEGUN = "The run is being prepared: open this menu again in a moment."
ANEW = "The run began anew: open this menu again."
NO_SLICE = "There is no slice yet: press Compute maps, then open this menu again."

# The server answers the click with the link, as it alone knows the step in view. The promise is
# handed over within the click itself: a browser refuses the clipboard later.
_SCRIPT = """
const asked = (globalThis.chatterscopeCopy ??= {});  // this script itself may be loaded again
export default ({ parentElement, data, setTriggerValue }) => {
  const button = parentElement.querySelector("button");
  button.title = data.help;
  if (data.number === asked.number) {
    asked.number = null;
    asked.answer(new URL(data.query || "?", document.baseURI).href);
  }
  button.onclick = async () => {
    const number = data.number + 1;
    const link = new Promise((answer) => Object.assign(asked, { number, answer }));
    const ask = () => {
      if (asked.number !== number) return;
      setTriggerValue("copy", number);
      setTimeout(ask, 2000);  // a request that another one overtakes can be lost
    };
    ask();
    try {
      const text = link.then((url) => new Blob([url], { type: "text/plain" }));
      await navigator.clipboard.write([new ClipboardItem({ "text/plain": text })]);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy link"; }, 2000);
    } catch {
      window.prompt("Copy this link:", await link);  // no clipboard without https
    }
  };
};
"""
_STYLE = """
button { font: inherit; font-size: 0.875rem; color: inherit; background: none; cursor: pointer;
  height: 2.5rem; padding: 0 0.75rem; border: 1px solid var(--st-border-color, #8886);
  border-radius: var(--st-button-radius, 8px); white-space: nowrap; }
button:hover { border-color: var(--st-primary-color); color: var(--st-primary-color); }
"""

_copy = v2.component(
    "chatterscope.copy",
    html='<button type="button">Copy link</button>',
    js=_SCRIPT,
    css=_STYLE,
)


def sharing(lab: Lab) -> None:
    """Draw Copy link, and a menu with Save and Open."""
    words = "A link that opens here: the same controls, trained to the step in view"
    if lab.start is not None:
        words += "; from initial weights, as no link holds a checkpoint"
    copy_link(lab.link, words)
    # Opening it draws it anew, so that it knows what there is to save.
    with st.popover("File", on_change="rerun"):
        _save(lab)
        st.file_uploader(
            "Open experiment",
            type="json",
            key="opened",
            max_upload_size=UPLOAD_MB,
            on_change=lambda: _open(lab),
            help="A saved experiment or run, or the experiment.json of a comparison",
        )


def copy_link(query: Callable[[], dict[str, str]], words: str) -> None:
    """Draw a button that copies a link to this page.

    Args:
        query: the link's parameters, asked for when the button is pressed.
        words: what the link restores.
    """

    def answer() -> None:
        if "copy" not in st.session_state:
            return  # cleared away meanwhile; the button asks again
        asked, found = st.session_state["copy"]["copy"], query() | looks.query()
        st.session_state.copied = (asked, f"?{urlencode(found)}" if found else "")

    number, known = st.session_state.setdefault("copied", (0, ""))
    _copy(
        key="copy",
        data={"number": number, "query": known, "help": words},
        on_copy_change=answer,
        width="content",
    )


def _save(lab: Lab) -> None:
    """Draw the buttons that save the step in view, which a run in progress may leave meanwhile."""
    view = lab.trainer.view()
    shown = view if lab.at is None or not view.begun else view.at(lab.at)
    st.download_button(
        "Save experiment",
        lab.experiment.to_json(),
        "experiment.json",
        "application/json",
        on_click="ignore",
    )
    for label, what, ending, mime, words in FILES:
        missing = _missing(view, ending)
        st.download_button(
            label,
            lambda ending=ending: _written(lab, ending, shown.step),
            file_name(shown.name, what, ending),
            mime,
            key=f"save_{ending}",
            on_click="ignore",
            disabled=bool(missing),
            help=missing or words,
        )


def _missing(view: View, ending: str) -> str:
    """Why a file cannot be written; "" where it can."""
    if not view.begun:
        return NOT_BEGUN
    return NO_SLICE if ending == "npz" and (view.maps is None or view.maps.slice is None) else ""


def _written(lab: Lab, ending: str, step: int) -> str | bytes:
    """A file of the run at the step that the menu's file names have."""
    # Imported here: they load torch, and the first paint must not wait for that.
    from app.export.numbers import run_json
    from app.export.page import run_html
    from app.export.plane import slice_npz

    view = lab.trainer.view()
    if missing := _missing(view, ending):
        raise RuntimeError(missing)  # since the menu was opened the run began anew
    if view.last < step:
        raise RuntimeError(ANEW)
    return {"html": run_html, "json": run_json, "npz": slice_npz}[ending](_taken(lab, view, step))


def _taken(lab: Lab, view: View, step: int) -> Taken:
    asked = None if lab.at is None and view.last == step else step
    start = lab.start
    return Taken(
        view=view if asked is None else view.at(asked),
        asked=asked,
        query=Link(lab.experiment, min(step, lab.experiment.steps), lab.hide).to_query(),
        start="" if start is None else start.words,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _open(lab: Lab) -> None:
    """Begin what was dropped; a file that was taken away changes nothing."""
    file = st.session_state.opened
    if file is None:
        return
    lab.open(file.read(MOST_BYTES + 1))  # more of it is never parsed
