"""The script and the style that draw a report, as text; loads without torch."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
SCRIPT, STYLE = HERE / "report.js", HERE / "report.css"
COLORS = HERE.parent / "grid" / "grid.css"

# What the page's component needs around the script: plotly and colours from the server's routes.
_COMPONENT = """
const url = (name) => new URL(`chatterscope/${name}`, document.baseURI).href;
let plotly;
function loadPlotly() {
  if (window.Plotly) return Promise.resolve(window.Plotly);
  plotly ??= new Promise((loaded, failed) => {
    const script = Object.assign(document.createElement("script"), { src: url("plotly.min.js") });
    script.onload = () => loaded(window.Plotly);
    script.onerror = () => failed(new Error("plotly.min.js could not be loaded"));
    document.head.append(script);
  });
  return plotly;
}
function loadColors() {
  if ([...document.styleSheets].some((sheet) => sheet.href === url("grid.css"))) return undefined;
  const link = Object.assign(document.createElement("link"), {
    rel: "stylesheet", href: url("grid.css"),
  });
  document.head.append(link);
  return new Promise((resolve) => (link.onload = link.onerror = resolve));
}
const reports = new WeakMap();
export default async function mount({ data, parentElement, setTriggerValue }) {
  await loadColors();
  if (!reports.has(parentElement)) {
    reports.set(parentElement, new Report(parentElement, loadPlotly));
  }
  const report = reports.get(parentElement);
  report.receive(data, (seq) => setTriggerValue("resend", seq));
  return () => {
    reports.delete(parentElement);
    report.close();
  };
}
"""


def script() -> str:
    """The class Report of report.js."""
    return SCRIPT.read_text(encoding="utf-8")


def component_script() -> str:
    """The module that Streamlit mounts."""
    return script() + _COMPONENT


def style(*, colors: bool = False) -> str:
    """The style of a report, with the page's colours before it where it stands alone."""
    before = COLORS.read_text(encoding="utf-8") if colors else ""
    return before + STYLE.read_text(encoding="utf-8")
