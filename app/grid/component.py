"""The one component that draws the whole grid, so that nothing blanks or loses its zoom."""

from __future__ import annotations

import itertools

from streamlit.components import v2

from app.cleared import drawn_again

# The inline part is resent with each run, so it only fetches the real one, once.
_LOADER = """
const grid = import(new URL("chatterscope/grid.js", document.baseURI));
export default async (component) => (await grid).default(component);
"""

_component = v2.component("chatterscope.grid", js=_LOADER, isolate_styles=False)
_runs = itertools.count()


def grid(token: str, page: str, *, late: bool) -> None:
    """Mount the grid; what it draws it asks for on a line of its own, see `app.live.line`.

    Args:
        token: of what feeds it.
        page: whose panels are drawn, see `PAGES` in grid.js.
        late: let the browser run the present fragment once it has heard of this.
    """
    data = {"page": page, "held": token, "late": late, "run": next(_runs)}
    with drawn_again(page):
        _component(key=f"grid-{page}", data=data, on_around_change=lambda: None)
