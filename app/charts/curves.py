"""Every instrument against the radius and against k, as small multiples on one axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.charts.answers import true_value
from app.charts.spec import Chart, axis, label, layout, line, log_ticks, stack, typed
from app.live.readings import Here, RadiusCurves, Readings
from probes.roughness import NOISE_FOURTH, NOISE_SECOND, RESOLVED

MEASURED, TRUE, NOISE = "var(--measured)", "var(--true)", "var(--ink-soft)"
#: Numbers of directions and of gradients that an axis names.
TICKS = [2, 4, 8, 16, 32, 64, 128, 256, 512]
#: Space between two small multiples, as a share of the width.
GAP = 0.055


class Board:
    """A chart of small multiples: `rows` x `columns` of axes that are filled one by one."""

    def __init__(self, revision: str, rows: int, columns: int) -> None:
        self.traces: dict[str, Any] = {}
        self.layout = layout(revision, (40, 8, 18, 24), annotations=[], shapes=[])
        self._rows, self._columns, self._filled = rows, columns, 0
        self._lines = ""

    def begin(self, title: str, x: dict[str, Any], y: dict[str, Any], *, lowest: bool) -> None:
        """Open the next small axes; what is drawn from now on lies in them."""
        row, column = divmod(self._filled, self._columns)
        self._filled += 1
        self._lines = "" if self._filled == 1 else str(self._filled)
        width = (1 - GAP * (self._columns - 1)) / self._columns
        left = column * (width + GAP)
        up = stack(self._rows, gap=0.2)[row]
        self.layout[f"xaxis{self._lines}"] = axis(
            domain=[left, min(1.0, left + width)],
            anchor=f"y{self._lines}",
            showticklabels=lowest,
            **x,
        )
        look: dict[str, Any] = {"nticks": 4} | y
        self.layout[f"yaxis{self._lines}"] = axis(domain=list(up), anchor=f"x{self._lines}", **look)
        self.layout["annotations"].append(
            label(
                title,
                "var(--ink)",
                xref="paper",
                yref="paper",
                x=left,
                y=up[1],
                yanchor="bottom",
                yshift=1,
            )
        )

    def line(self, name: str, x: np.ndarray, y: np.ndarray, color: str, **more: Any) -> None:
        """A line in the present axes; nan leaves a gap."""
        place = {"xaxis": f"x{self._lines}", "yaxis": f"y{self._lines}"}
        look = {"hovertemplate": "%{x:.3g}: %{y:.3g}"} | more
        self.traces[name] = line(name, typed(x, "f8"), typed(y, "f8"), color, **place, **look)

    def true(self, name: str, x: np.ndarray, value: float | None) -> None:
        """The true answer, where there is one."""
        if value is not None and np.isfinite(value):
            ends = x[[0, -1]].astype(float)
            look: dict[str, Any] = {"dash": "dash", "width": 1.4}
            self.line(f"{name}:true", ends, np.full(2, value), TRUE, **look)

    def mark(self, at: float) -> None:
        """A line through the present value of what goes across."""
        self._shape("line", at, at, line={"color": "var(--ink)", "width": 1, "dash": "dot"})

    def shade(self, x: np.ndarray, where: np.ndarray) -> None:
        """Shade the stretches of a logarithmic axis where something holds."""
        edges = np.sqrt(x[1:] * x[:-1])
        ends = np.concatenate((x[:1], edges, x[-1:]))
        changes = np.flatnonzero(np.diff(np.concatenate(([0], where, [0])).astype(int)))
        look = {"fillcolor": "var(--unresolved)", "line": {"width": 0}, "layer": "below"}
        for first, last in changes.reshape(-1, 2):
            self._shape("rect", float(ends[first]), float(ends[last]), **look)

    def _shape(self, kind: str, x0: float, x1: float, **look: Any) -> None:
        place = {"xref": f"x{self._lines}", "yref": f"y{self._lines} domain", "y0": 0, "y1": 1}
        self.layout["shapes"].append({"type": kind, "x0": x0, "x1": x1} | place | look)


def radius_chart(readings: Readings) -> Chart:
    """Every instrument over radii from sigma/64 to 64 sigma, at fixed k.

    Args:
        readings: needs `here` for anything to show.

    Returns:
        A chart with the traces "lgi", "variance", "asymmetry", "diameter", "stationarity",
        "second", "holder", "fourth", "roughness", each with ":true" where there is a true answer,
        and "second:floor", "fourth:floor".
    """
    here, found = readings.here, readings.radii
    chart: Chart = {
        "title": "Against the radius",
        "note": "mean of draws at this k · dashed: true · shaded: not resolved · dotted: noise "
        "floor, Clarke's stationarity",
        "stale": readings.stale(found),
    }
    if here is None or found is None:
        return chart | _bare()
    board = Board(f"radius:{here.setup.function}", rows=2, columns=4)
    x = found.curves.radii
    _averages(board, here, found, _log_axis(x), here.setup.sigma)
    _bounds(board, readings, _log_axis(x), here.setup.sigma, over="radii")
    _differences(board, here, found, _log_axis(x))
    return chart | {"traces": board.traces, "layout": board.layout}


def _averages(
    board: Board, here: Here, found: RadiusCurves, x_axis: dict[str, Any], at: float
) -> None:
    top = here.setup.k / (here.setup.k - 1)
    ranges = {"lgi": {"range": [0, min(top, 1.4)]}, "asymmetry": {"range": [0, 1.05]}}
    for name, title in (("lgi", "LGI"), ("variance", "Variance"), ("asymmetry", "Asymmetry")):
        y = ranges.get(name, {"rangemode": "tozero"})
        board.begin(title, x_axis, y, lowest=False)
        board.true(name, found.curves.radii, true_value(here, name)[0])
        board.line(name, found.curves.radii, found.values[name], MEASURED)
        board.mark(at)


def _bounds(
    board: Board, readings: Readings, x_axis: dict[str, Any], at: float, *, over: str
) -> None:
    """Clarke's bounds, over radii or over numbers of gradients."""
    found = readings.bounds_over_radii if over == "radii" else readings.bounds_over_samples
    here = readings.here
    assert here is not None
    title = "Clarke, surrogate" if here.setup.surrogate else "Clarke"
    if over != "radii":
        title += ", over gradients m"
    board.begin(title, x_axis, {"rangemode": "tozero"}, lowest=over != "radii")
    if found is None:
        # Axes without a trace are drawn nowhere, and plotly.js complains.
        board.line("diameter", np.array([at]), np.array([np.nan]), MEASURED)
    else:
        truth = here.truth
        board.true("diameter", found.at, truth and truth.diameter)
        if truth is None or truth.stationarity != truth.diameter:
            board.true("stationarity", found.at, truth and truth.stationarity)
        board.line("diameter", found.at, found.diameter, MEASURED)
        board.line("stationarity", found.at, found.stationarity, MEASURED, dash="dot")
    board.mark(at)


def _differences(board: Board, here: Here, found: RadiusCurves, x_axis: dict[str, Any]) -> None:
    curves, r, noise = found.curves, found.curves.radii, found.curves.noise[0]
    second, fourth = curves.mean_second[0], curves.mean_fourth[0]
    lost_second, lost_fourth = ~curves.second_resolved[0], ~curves.fourth_resolved[0]
    _with_floor(board, "second", "|Δ²|", x_axis, (r, second, RESOLVED * NOISE_SECOND * noise))
    board.shade(r, lost_second)
    board.mark(here.setup.sigma)
    board.begin("Hölder exponent", x_axis, {"range": [-0.3, 2.4], "dtick": 1}, lowest=True)
    board.true("holder", r, true_value(here, "holder")[0])
    board.line(
        "holder",
        np.sqrt(r[1:] * r[:-1]),
        curves.local_holder[0],
        MEASURED,
        mode="lines+markers",
        marker={"size": 3.5, "color": MEASURED},
    )
    board.shade(r, lost_second)
    board.mark(here.setup.sigma)
    _with_floor(board, "fourth", "|Δ⁴|", x_axis, (r, fourth, RESOLVED * NOISE_FOURTH * noise))
    board.shade(r, lost_fourth)
    board.mark(here.setup.sigma)
    ratio = curves.ratio[0]
    board.begin("Roughness", x_axis, _log_axis(ratio), lowest=True)
    board.line(
        "roughness",
        r,
        ratio,
        MEASURED,
        mode="lines+markers",
        marker={"size": 3.5, "color": MEASURED},
    )
    board.shade(r, np.isnan(ratio))
    board.mark(here.setup.sigma)


def _with_floor(
    board: Board,
    name: str,
    title: str,
    x_axis: dict[str, Any],
    curves: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    """A mean difference and the floor above which it counts, on logarithmic axes."""
    r, mean, floor = curves
    shown = np.where(mean > 0, mean, np.nan)
    y_axis = _log_axis(np.concatenate((shown, floor)))
    board.begin(title, x_axis, y_axis, lowest=True)
    board.line(f"{name}:floor", r, floor, NOISE, dash="dot", width=1.2)
    board.line(name, r, shown, MEASURED)


def k_chart(readings: Readings) -> Chart:
    """Every instrument against k at fixed sigma, from one pool of directions.

    Args:
        readings: needs `here` for anything to show.

    Returns:
        A chart with the traces "lgi" to "roughness", each with ":low" and ":high" for its middle
        80% and ":true" where there is a true answer; "diameter" and "stationarity" over m.
    """
    here, draws = readings.here, readings.draws
    chart: Chart = {
        "title": "Against k",
        "note": "mean and middle 80% of draws at this σ · dashed: true · dotted: Clarke's "
        "stationarity",
        "stale": readings.stale(draws),
    }
    if here is None or draws is None:
        return chart | _bare()
    board = Board(f"k:{here.setup.function}", rows=2, columns=3)
    titles = {
        "lgi": "LGI",
        "variance": "Variance",
        "asymmetry": "Asymmetry",
        "holder": "Hölder exponent",
        "roughness": "Roughness",
    }
    ks = draws.ks.astype(float)
    ticks = {"tickvals": TICKS, "ticktext": [str(tick) for tick in TICKS]}
    x = _log_axis(ks) | ticks
    ranges: dict[str, dict[str, Any]] = {
        "lgi": {"range": [0, 2.05]},
        "asymmetry": {"range": [0, 1.05]},
        "holder": {"range": [-0.3, 2.4], "dtick": 1},
    }
    for index, (name, title) in enumerate(titles.items()):
        board.begin(title, x, ranges.get(name, {"rangemode": "tozero"}), lowest=index > 2)
        edge = {"width": 0.0, "hoverinfo": "skip", "hovertemplate": None}
        board.line(f"{name}:low", ks, draws.low[name], MEASURED, **edge)
        fill = {"fill": "tonexty", "fillcolor": "var(--band)"}
        board.line(f"{name}:high", ks, draws.high[name], MEASURED, **edge, **fill)
        board.true(name, ks, true_value(here, name)[0])
        board.line(name, ks, draws.mean[name], MEASURED, width=1.8)
        board.mark(float(here.setup.k))
    counts = readings.bounds_over_samples
    m = counts.at if counts else np.array([2.0, float(here.setup.samples)])
    _bounds(board, readings, _log_axis(m) | ticks, float(here.setup.samples), over="samples")
    return chart | {"traces": board.traces, "layout": board.layout}


def _log_axis(values: np.ndarray) -> dict[str, Any]:
    """A logarithmic axis that just holds some values, with few ticks."""
    known = values[np.isfinite(values) & (values > 0)].astype(float)
    if not known.size:
        return {"type": "log", "range": [-3, 0], "tickvals": []}
    low, high = float(np.log10(known.min())), float(np.log10(known.max()))
    room = 0.04 * (high - low) or 0.3
    return {"type": "log"} | log_ticks(known) | {"range": [low - room, high + room]}


def _bare() -> Chart:
    hidden = {"visible": False}
    return {"traces": {}, "layout": layout("none", (40, 8, 18, 24), xaxis=hidden, yaxis=hidden)}
