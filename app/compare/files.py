"""What a comparison leaves in its folder: report, Markdown, Parquet, and the experiment."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from app.compare.comparison import FIGURES, Result
from app.compare.page import Made, comparison_html
from app.compare.tables import markdown, most
from app.compare.tuning import rate
from app.experiment import Experiment

NAMES = (
    "report.html",
    "table.md",
    "history.parquet",
    "runs.parquet",
    "experiment.json",
)


def write(result: Result, made: Made, folder: Path) -> None:
    """Write all files, each whole or not at all.

    Args:
        result: what was found.
        made: how.
        folder: is there.
    """
    put(folder / "report.html", comparison_html(result, made).encode())
    put(folder / "table.md", markdown(result).encode())
    put(folder / "history.parquet", _parquet(history_table(result)))
    put(folder / "runs.parquet", _parquet(runs_table(result)))
    if result.tuned is not None:
        put(folder / "tuning.parquet", _parquet(tuning_rows(result)))
    put(folder / "experiment.json", shown(result).to_json().encode())


def put(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)


def shown(result: Result) -> Experiment:
    """The experiment that the page opens; it has one rate, so it is the reference's best."""
    experiment = result.plan.experiment
    if result.tuned is None:
        return experiment
    lane = experiment.lanes.index(experiment.reference)
    return experiment.change(lr=rate(most(result.tuned.chosen[lane])))


def history_table(result: Result) -> pa.Table:
    """A row a run and kept step: the newest steps all, the older ones ever thinner."""
    shape = result.history["probe_loss"].shape  # (T, L, S)
    columns = _names(result, shape) | {"step": np.broadcast_to(result.steps[:, None, None], shape)}
    return _table(columns | result.history)


def runs_table(result: Result) -> pa.Table:
    """A row a run: the figures that the report's means are of."""
    shape = result.rates.shape
    figures = {name: result.runs[name] for name in FIGURES}
    return _table(_names(result, shape) | figures)


def tuning_rows(result: Result) -> pa.Table:
    """A row a lane, rate and seed that was tried."""
    assert result.tuned is not None
    seeds = np.array(result.plan.experiment.seed_list)
    parts = [
        {
            "lane": np.full(len(seeds), key),
            "seed": seeds,
            "lr": np.full(len(seeds), rate(place)),
            "accuracy": score.accuracy,
            "loss": score.loss,
            "diverged": score.diverged,
        }
        for key, tried in result.tuned.scores.items()
        for place, score in sorted(tried.items())
    ]
    return _table({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def _names(result: Result, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Lane, seed and rate of every run, over (..., L, S)."""
    experiment = result.plan.experiment
    return {
        "lane": np.broadcast_to(np.array(experiment.lanes)[:, None], shape),
        "seed": np.broadcast_to(np.array(experiment.seed_list), shape),
        "lr": np.broadcast_to(result.rates, shape),
    }


def _table(columns: dict[str, np.ndarray]) -> pa.Table:
    return pa.table({name: np.ascontiguousarray(v).ravel() for name, v in columns.items()})


def _parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()
