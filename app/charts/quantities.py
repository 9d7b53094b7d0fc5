"""What a strip can show: one quantity of one run at every row of its history."""

from __future__ import annotations

import numpy as np

from app.charts.spec import rolling_mean
from app.experiment import ALONG
from app.live.view import View
from probes.oscillation import cockpit_alpha

#: Steps over which shares and ratios are taken.
WINDOW = 50


def quantity(view: View, name: str, lane: int, seed: int = 0) -> np.ndarray:
    """One quantity of one run at every row, (T,); nan where there is none.

    Args:
        view: the run.
        name: a key of `app.experiment.STRIPS`.
        lane: index of the lane.
        seed: index of the seed.
    """
    run = lane * view.experiment.seeds + seed
    if name == "loss":
        return _column(view, "probe_loss", run)
    if name == "levels":
        return _column(view, "levels_changed", run)
    if name == "oscillating":
        return view.columns["oscillating"][:, run, 0].astype(float) if view.weights else _none(view)
    if name == "sharpness":
        return _sharpness(view, lane, seed)
    if name in ALONG:
        return _along(view, name, lane, seed)
    if name in ("jump", "relative"):
        return _jump(view, run, relative=name == "relative")
    if name == "alpha":
        return _alpha(view, run)
    return _promise(view, run, broken=name == "broken")


def _column(view: View, name: str, run: int) -> np.ndarray:
    return view.columns[name][:, run].astype(float)


def _none(view: View) -> np.ndarray:
    return np.full(len(view.steps), np.nan)


def _after_one_step(view: View, values: np.ndarray) -> np.ndarray:
    """Older rows are thinned: a change between rows that are no neighbours is none of one step."""
    return np.where(np.append(True, np.diff(view.steps) != 1), np.nan, values)


def _before(values: np.ndarray) -> np.ndarray:
    """Each row's value at the row before."""
    return np.append(np.nan, values[:-1])


def _jump(view: View, run: int, *, relative: bool) -> np.ndarray:
    losses = _column(view, "probe_loss", run)
    jumps = _after_one_step(view, np.abs(losses - _before(losses)))
    return jumps / rolling_mean(np.abs(losses), WINDOW) if relative else jumps


def _promise(view: View, run: int, *, broken: bool) -> np.ndarray:
    promised = _before(_column(view, "promised", run))
    got = _after_one_step(view, _column(view, "got", run))
    if broken:
        falls = (promised < 0) & np.isfinite(got)
        return rolling_mean(np.where(falls, (got > 0).astype(float), np.nan), WINDOW)
    total = rolling_mean(np.where(np.isfinite(got), promised, np.nan), WINDOW)
    kept = rolling_mean(got, WINDOW)
    return np.divide(kept, total, out=_none(view), where=total != 0)


def _alpha(view: View, run: int) -> np.ndarray:
    loss, promised = _column(view, "loss", run), _column(view, "promised", run)
    after = _column(view, "slope_after", run)
    alpha = _after_one_step(view, cockpit_alpha(_before(loss), loss, _before(promised), after))
    return rolling_mean(np.where(np.isfinite(alpha), alpha, np.nan), WINDOW)


def _sharpness(view: View, lane: int, seed: int) -> np.ndarray:
    known = {step: row[lane] for step, row in view.sharpness.items()} if seed == 0 else {}
    return np.array([known.get(int(step), np.nan) for step in view.steps], dtype=float)


def _along(view: View, name: str, lane: int, seed: int) -> np.ndarray:
    along = view.along
    known = {}
    if along is not None and along.strips == name and seed == 0:
        known = dict(zip(along.steps.tolist(), along.values[:, lane].tolist(), strict=True))
    return np.array([known.get(int(step), np.nan) for step in view.steps], dtype=float)
