"""The kept table: one setting as a report's, all settings small as HTML, the protocol in words."""

from __future__ import annotations

from html import escape
from typing import Any

from app.score.kept import Auc, Kept, Row
from app.score.protocol import PAIRS, SCORES

TITLES = {score.key: score.title for score in SCORES}
ROUGH = {score.key: score.rough for score in SCORES}


def pair_title(pair: tuple[str, str]) -> str:
    """What is told apart from what."""
    rough, calm = pair
    return f"{rough.capitalize()} vs {calm}"


def short(row: Row) -> str:
    """A score's name without what it is of."""
    return TITLES[row.score].partition(",")[0]


def side(auc: Auc) -> str:
    """Where the whole interval lies: "above" 0.5, "below" it, or "coin"."""
    if auc.low > 0.5:
        return "above"
    return "below" if auc.high < 0.5 else "coin"


def sentence(kept: Kept, seed: int, size: int, distance: float | None) -> str:
    """What the large table says of kinks and jumps against smooth, in one line."""
    rows = kept.table(seed, size, distance)
    best = [max(rows, key=lambda row: row.aucs[pair].value) for pair in (0, 1)]
    lgi = rows[0].aucs
    return (
        f"P = {size}, distance {named(distance)}. Highest against smooth: "
        f"{short(best[0])} for a kink, {best[0].aucs[0].value:.2f}; "
        f"{short(best[1])} for a jump, {best[1].aucs[1].value:.2f}. "
        f"LGI: {lgi[0].value:.2f} and {lgi[1].value:.2f}. A coin: 0.50."
    )


def setting_name(seed: int, size: int, distance: float | None) -> str:
    """What a picture or a file of one setting is headed with."""
    return f"Score · P = {size} · distance {named(distance)} · seed {seed}"


def auc_table(rows: list[Row]) -> dict[str, Any]:
    """One setting: a score a row, its AUCs with their intervals in brackets.

    Returns:
        {"title", "columns", "rows": [{"key", "cells"}]}, all text.
    """
    columns = ["Score", "Rough means", *map(pair_title, PAIRS), "Not resolved s, k, j, %"]
    return {
        "title": "AUC, and what a point costs",
        "columns": [*columns, "k", "Forward passes", "ms a point"],
        "rows": [{"key": row.score, "cells": _cells(row)} for row in rows],
    }


def _cells(row: Row) -> list[str]:
    aucs = (f"{auc.value:.2f} ({auc.low:.2f} to {auc.high:.2f})" for auc in row.aucs)
    shares = ", ".join(f"{100 * share:.3g}" for share in row.unresolved)
    cost = (str(row.draws), str(row.forwards), f"{row.milliseconds:.2f}")
    return [TITLES[row.score], ROUGH[row.score], *aucs, shares, *cost]


def small_tables(kept: Kept, seed: int) -> str:
    """All settings: a table for each P, and in it for each t the three AUCs of every score."""
    return "".join(_small_table(kept, seed, size) for size in kept.protocol.sizes)


def _small_table(kept: Kept, seed: int, size: int) -> str:
    distances = kept.protocol.distances
    over = "".join(
        f'<th colspan="3" class="group">distance {named(distance)}</th>' for distance in distances
    )
    heads = "".join(
        f'<th class="{"group" if (rough, calm) == PAIRS[0] else ""}">{rough}<br>vs {calm}</th>'
        for _ in distances
        for rough, calm in PAIRS
    )
    tables = [kept.table(seed, size, distance) for distance in distances]
    body = "".join(
        f'<tr><td class="name">{short(rows[0])}</td>'
        + "".join(_small_cell(auc, at) for row in rows for at, auc in enumerate(row.aucs))
        + "</tr>"
        for rows in zip(*tables, strict=True)
    )
    return (
        f'<table class="score-small"><thead><tr><th class="name">P = {size}</th>{over}</tr>'
        f'<tr><th class="name">Score</th>{heads}</tr></thead><tbody>{body}</tbody></table>'
    )


def protocol_list(kept: Kept, *, same_sources: bool) -> str:
    """The protocol as it was computed, a line a decision."""
    lines = _functions(kept) | _measuring(kept) | _computed(kept, same_sources=same_sources)
    items = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in lines.items())
    return f'<dl class="score-protocol">{items}</dl>'


def named(distance: float | None) -> str:
    """A distance t in words."""
    if distance is None:
        return "random"
    return "½" if distance == 0.5 else f"{distance:g}"


def _functions(kept: Kept) -> dict[str, str]:
    protocol, ranges = kept.protocol, kept.ranges
    return {
        "Functions": f"{protocol.functions} a class and setting, each at a point θ of length 1",
        "Smooth": "b(y), y = x − θ: slope, quadratic and sines; |∇b| = 1 at θ",
        "Kink": "b(y) + c |w·y − d|, |w| = 1",
        "Jump": "b(y) + c r/√P where w·y ≥ d",
        "Distance": f"d = t r/√P, t = {', '.join(map(named, protocol.distances))} (0 to 1)",
        "Ranges": f"P = {' and '.join(map(str, protocol.sizes))}; log-uniform r "
        f"{_range(ranges['radii'])} and c {_range(ranges['strengths'])}",
        "Shared": "by the three classes of an index: b, θ, w, r, c, t, directions; float64",
    }


def _measuring(kept: Kept) -> dict[str, str]:
    protocol = kept.protocol
    gradients = next(row.draws for row in kept.rows if row.score == "clarke")
    return {
        "Budget": f"{protocol.budget} forward passes a point for every score, noise floors "
        "included; k is what they buy: directions, for Clarke gradients",
        "Clarke": f"{gradients} gradients within r and one at θ, three passes each. They are "
        "autograd's, which do not see a jump: jump vs smooth is 0.50 by construction",
        "Radius": "r. Hölder twice: within r as the others, and over r, 2r, 4r as instruments "
        "and maps take it by default, which alone looks beyond r",
        "Direction": "fixed beforehand, never turned: below 0.5 a score points the wrong way",
        "Not resolved": "counts as lowest",
        "Interval": f"{protocol.level:.0%}, bootstrap over functions, {protocol.resamples:,} "
        "resamples; an index is drawn with all its classes, as they share their base. Somewhat "
        "short near 0 and 1, as percentile intervals are",
    }


def _computed(kept: Kept, *, same_sources: bool) -> dict[str, str]:
    overlapping, of = kept.repeated()
    first, second = kept.protocol.seeds[:2]
    libraries = ", ".join(f"{name} {number}" for name, number in kept.libraries.items())
    return {
        "Repeats": f"intervals of seeds {first} and {second} overlap in {overlapping} of {of} AUCs",
        "Time": "processor time of one thread, median over functions",
        "Computed": f"{kept.date}, Chatterscope {kept.version}; {libraries}",
        "Sources": "computed with these sources"
        if same_sources
        else "the sources have changed since: run make score",
    }


def _small_cell(auc: Auc, at: int) -> str:
    kinds = f"{side(auc)} {'group' if at == 0 else ''}".strip()
    title = f"{auc.low:.2f} to {auc.high:.2f}"
    return f'<td class="{kinds}" title="{title}">{auc.value:.2f}</td>'


def _range(ends: tuple[float, float]) -> str:
    return f"{ends[0]:g} to {ends[1]:g}"
