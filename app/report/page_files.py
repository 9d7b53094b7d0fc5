"""A report's script and style, and the file that holds them whole; loads without torch."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import plotly

from app.glossary import as_json

HERE = Path(__file__).parent
GRID = HERE.parent / "grid"
SCRIPTS = (
    *(GRID / name for name in ("describe.js", "dom.js", "spec.js", "export.js", "help.js")),
    HERE / "report.js",
)
STYLE, COLORS = HERE / "report.css", GRID / "grid.css"
PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
#: No connection of any kind: what the file needs is in it.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
)

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
let terms;
function loadTerms() {
  terms ??= fetch(url("glossary.json")).then((answer) => answer.json());
  return terms;
}
function loadColors() {
  if ([...document.styleSheets].some((sheet) => sheet.href === url("grid.css"))) return undefined;
  const link = Object.assign(document.createElement("link"), {
    rel: "stylesheet", href: url("grid.css"),
  });
  document.head.append(link);
  return new Promise((resolve) => (link.onload = link.onerror = resolve));
}
const mounted = new WeakMap();
export default async function mount({ data: { parts, held }, parentElement }) {
  await loadColors();
  if (!mounted.has(parentElement)) {
    mounted.set(parentElement, { report: new Report(parentElement, loadPlotly, loadTerms) });
  }
  const here = mounted.get(parentElement);
  if (parts) here.report.show(parts);
  else if (held !== here.held) {
    here.line?.close();
    Object.assign(here, { held, line: new Line(held, (...news) => here.report.show(...news)) });
  }
  return () => {
    mounted.delete(parentElement);
    here.line?.close();
    here.report.close();
  };
}
"""


def script(*more: Path) -> str:
    """The class Report and what it imports, and `more`, as one script."""
    texts = (path.read_text(encoding="utf-8") for path in (*SCRIPTS, *more))
    return "\n".join(
        re.sub(r"^(import .*|export )", "", text, flags=re.MULTILINE) for text in texts
    )


def component_script() -> str:
    """The module that Streamlit mounts."""
    return script(GRID / "line.js") + _COMPONENT


def style(*, colors: bool = False) -> str:
    """The style of a report, with the page's colours before it where it stands alone."""
    before = COLORS.read_text(encoding="utf-8") if colors else ""
    return before + STYLE.read_text(encoding="utf-8")


def standalone(title: str, parts: dict[str, Any]) -> str:
    """A report as one HTML file, with plotly.js inside: it opens without a network.

    What may come from elsewhere stands in one JSON block without a "<", and is drawn as text.

    Args:
        title: of the file, any text.
        parts: name -> fields, plain JSON.
    """
    data = _embedded(parts)
    terms = _embedded(as_json() | {"address": ""})  # there is no page Glossary beside it
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>
html {{ font-size: 14px; }}
body {{ margin: 18px 24px; background: #ffffff; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #0e1117; }} }}
{style(colors=True)}
</style>
</head>
<body>
<noscript>This report is drawn by JavaScript that it holds itself; allow it to run.</noscript>
<script>{PLOTLY.read_text(encoding="utf-8")}</script>
<script type="application/json" id="report">{data}</script>
<script type="module">
{script()}
const report = new Report(document.body, async () => window.Plotly, async () => ({terms}));
report.show(JSON.parse(document.getElementById("report").textContent));
</script>
</body>
</html>
"""


def _embedded(value: Any) -> str:
    """JSON that no script's end can hide in."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")
