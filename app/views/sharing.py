"""Copy link, and an experiment's file in and out."""

from __future__ import annotations

from urllib.parse import urlencode

import streamlit as st
from streamlit.components import v2

from app.live.session import Lab

#: Bytes of a file that is opened; an experiment has about one thousand.
MOST_BYTES = 65_536

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
    setTriggerValue("copy", number);
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
    st.session_state.setdefault("copied", (0, ""))
    number, query = st.session_state.copied
    words = "A link that opens here: the same controls, trained to the step in view"
    if lab.start is not None:
        words += "; from initial weights, as no link holds a checkpoint"
    _copy(
        key="copy",
        data={"number": number, "query": query, "help": words},
        on_copy_change=lambda: _answer(lab),
        width="content",
    )
    with st.popover("File", help="An experiment as a file"):
        st.download_button(
            "Save experiment",
            lab.experiment.to_json(),
            "experiment.json",
            "application/json",
            on_click="ignore",
        )
        st.file_uploader(
            "Open experiment",
            type="json",
            key="opened",
            max_upload_size=1,
            on_change=lambda: _open(lab),
            help="A saved one, or the experiment.json of a comparison",
        )


def _answer(lab: Lab) -> None:
    """What the button asked for, under the number that it asked with."""
    number = st.session_state.copied[0] + 1
    query = lab.link()
    st.session_state.copied = (number, f"?{urlencode(query)}" if query else "")


def _open(lab: Lab) -> None:
    """Begin what was dropped; a file that was taken away changes nothing."""
    file = st.session_state.opened
    if file is None:
        return
    if file.size > MOST_BYTES:
        lab.message = f"The file has {file.size:,} bytes; expected at most {MOST_BYTES:,}."
    else:
        lab.open(file.getvalue())
