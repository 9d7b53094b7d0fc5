"""The chart of the page Score: how well each score tells two classes of points apart."""

from __future__ import annotations

from typing import Any

from app.charts.spec import Chart, axis, label, layout, line
from app.score.board import TITLES, pair_title, short, side
from app.score.kept import Row
from app.score.protocol import PAIRS

#: Colour and marker by where an interval lies beside 0.5, as the page's note tells them.
LOOKS = {
    "above": ("var(--measured)", "circle"),
    "coin": ("var(--ink-soft)", "circle-open"),
    "below": ("var(--lane-adamw)", "square"),
}
#: Space between two pairs, as a share of the width.
GAP = 0.05


def auc_chart(rows: list[Row], level: float) -> Chart:
    """Every score's AUC with its interval, a small chart a pair of classes.

    Args:
        rows: one setting's, in the order that goes down.
        level: of the intervals, a share.

    Returns:
        A chart with the traces "kink-smooth", "jump-smooth" and "jump-kink", each with ":range".
    """
    names = [short(row) for row in rows]
    spec = layout("score", (104, 12, 26, 46), annotations=[], shapes=[])
    traces: dict[str, Any] = {}
    width = (1 - GAP * (len(PAIRS) - 1)) / len(PAIRS)
    for at, pair in enumerate(PAIRS):
        key, number = "-".join(pair), "" if at == 0 else str(at + 1)
        place = {"xaxis": f"x{number}", "yaxis": f"y{number}"}
        left = at * (width + GAP)
        across = {"domain": [left, min(1.0, left + width)], "anchor": place["yaxis"]}
        spec[f"xaxis{number}"] = axis("AUC", range=[-0.02, 1.02], dtick=0.25, **across)
        spec[f"yaxis{number}"] = axis(
            type="category",
            categoryorder="array",
            categoryarray=names[::-1],
            showticklabels=at == 0,
            anchor=place["xaxis"],
        )
        coin = {"type": "line", "xref": place["xaxis"], "yref": "paper", "y0": 0, "y1": 1}
        look = {"line": {"color": "var(--axis-line)", "width": 1.5}, "layer": "below"}
        spec["shapes"].append(coin | look | {"x0": 0.5, "x1": 0.5})
        spec["annotations"].append(
            label(
                pair_title(pair),
                "var(--ink)",
                xref="paper",
                yref="paper",
                x=left,
                y=1,
                yanchor="bottom",
            )
        )
        aucs = [row.aucs[at] for row in rows]
        colors, symbols = zip(*(LOOKS[side(auc)] for auc in aucs), strict=True)
        traces[f"{key}:range"] = line(
            f"{pair_title(pair)}, {level:.0%} interval",
            [end for auc in aucs for end in (auc.low, auc.high, None)],
            [name for name in names for _ in range(3)],
            "var(--ink)",
            width=2,
            hoverinfo="skip",
            **place,
        )
        traces[key] = {
            "type": "scatter",
            "mode": "markers",
            "name": pair_title(pair),
            "x": [auc.value for auc in aucs],
            "y": names,
            "marker": {"color": list(colors), "symbol": list(symbols), "size": 9},
            "customdata": [
                f"{TITLES[row.score]}: {auc.value:.2f}, {auc.low:.2f} to {auc.high:.2f}"
                for row, auc in zip(rows, aucs, strict=True)
            ],
            "hovertemplate": "%{customdata}<extra></extra>",
        } | place
    return {
        "title": "Are smooth, kink and jump told apart?",
        "note": f"AUC with its {level:.0%} interval: the chance that a function of the first class "
        "reads rougher than one of the second, ties half · ● above 0.5, a coin · "
        "○ holds 0.5 · ■ below: the score points the wrong way",
        "traces": traces,
        "layout": spec,
        "order": list(traces),
        "span": 12,
        "height": 290,
    }
