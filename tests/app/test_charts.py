"""Charts and table against the run they are drawn from, without a browser."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from app.charts.board import line_parts, slow_parts
from app.experiment import Experiment
from app.live.ahead import compute_ahead
from app.live.maps import compute_maps
from app.live.run import Run
from app.live.view import View


def decoded(spec: dict[str, str]) -> np.ndarray:
    values = np.frombuffer(base64.b64decode(spec["bdata"]), np.dtype(spec["dtype"]))
    return values.reshape([int(n) for n in spec["shape"].split(",")]) if "shape" in spec else values


def board(view: View) -> dict:
    return line_parts(view) | slow_parts(view)


def view_of(run: Run, experiment: Experiment) -> View:
    *_, maps = compute_maps(experiment, run, run.step)
    *_, ahead = compute_ahead(run, run.step)
    run.place(maps.plane)
    return View(experiment, "paused", maps=maps, ahead=ahead, **run.known())


@pytest.fixture(scope="module")
def view() -> View:
    experiment = Experiment().change(
        scenario="moons", bits=2, seeds=2, slice_resolution=9, map_resolution=5
    )
    run = Run(experiment)
    for _ in range(80):
        run.advance()
        run.record()
    return view_of(run, experiment)


def test_every_part_is_plain_json_without_nan(view: View) -> None:
    json.dumps(board(view), allow_nan=False)


def test_strips_show_the_first_seed(view: View) -> None:
    traces = board(view)["strips"]["traces"]
    for lane, key in enumerate(view.experiment.lanes):
        np.testing.assert_array_equal(decoded(traces[key]["x"]), np.arange(81))
        own = view.columns["probe_loss"][:, lane * 2].astype(np.float32)
        np.testing.assert_array_equal(decoded(traces[key]["y"]), own)


def test_the_slice_holds_the_true_loss_at_its_points(view: View) -> None:
    heat = board(view)["slice"]["traces"]["loss"]
    plane = view.maps.plane
    a = torch.from_numpy(decoded(heat["x"]).copy()).double()
    b = torch.from_numpy(decoded(heat["y"]).copy()).double()
    run = Run(view.experiment)
    points = plane.points(a.to(plane.origin), b.to(plane.origin))
    true = run.objective.losses(points).view(9, 9).log10()
    np.testing.assert_allclose(decoded(heat["z"]), true.numpy(), rtol=1e-4, atol=1e-5)


def test_paths_end_at_the_present_place(view: View) -> None:
    traces = board(view)["slice"]["traces"]
    run = Run(view.experiment)
    for _ in range(80):
        run.advance()
    a, b, _ = view.maps.plane.project(run.shown(run.ensemble.theta))
    for lane, key in enumerate(view.experiment.lanes):
        place = traces[f"{key}:place"]
        assert decoded(place["x"])[0] == pytest.approx(float(a[lane]), abs=1e-4)
        assert decoded(place["y"])[0] == pytest.approx(float(b[lane]), abs=1e-4)


def test_the_table_states_the_history_s_figures(view: View) -> None:
    rows = {row["key"]: row["cells"] for row in board(view)["table"]["rows"]}
    for lane, key in enumerate(view.experiment.lanes):
        losses = view.columns["probe_loss"][:, lane * 2]
        assert float(rows[key][0]) == pytest.approx(losses[-1], rel=5e-3)
        assert float(rows[key][1].split()[0]) == pytest.approx(
            100 * view.columns["accuracy"][-1, lane * 2], abs=0.5
        )
        jump = np.abs(np.diff(losses[-51:])).mean()
        assert float(rows[key][2]) == pytest.approx(jump, rel=5e-3)
        changed = view.columns["levels_changed"][-50:, lane * 2].mean()
        assert float(rows[key][6]) == pytest.approx(changed, rel=5e-3)
    assert rows["adamw"][9] == "1.00"


def test_a_diverged_lane_is_marked_and_its_last_finite_values_stay(view: View) -> None:
    diverged = view.diverged_at.copy()
    diverged[2] = 41
    columns = {name: column.copy() for name, column in view.columns.items()}
    for name in ("damping", "lgi", "effective_lr"):
        columns[name][41:, 2] = np.nan
    parts = board(replace(view, diverged_at=diverged, columns=columns))
    json.dumps(parts, allow_nan=False)
    assert parts["table"]["rows"][1]["title"] == "S-Adam, diverged at step 41"
    texts = [a["text"] for a in parts["strips"]["layout"]["annotations"]]
    shown = ["AdamW", "S-Adam, diverged at step 41", "AdamW, smaller step"]
    assert texts == [f"<b>{text}</b>" for text in shown]
    assert parts["table"]["rows"][1]["cells"][0] != "–"


def test_a_lane_frozen_for_long_states_no_calm_figures(view: View) -> None:
    diverged = view.diverged_at.copy()
    diverged[2] = 1
    columns = {name: column.copy() for name, column in view.columns.items()}
    for name in ("gradient_projection", "update_projection"):
        columns[name][1:, 2] = 0
    columns["probe_loss"][1:, 2] = columns["probe_loss"][0, 2]
    parts = board(replace(view, diverged_at=diverged, columns=columns))
    cells = parts["table"]["rows"][1]["cells"]
    assert [cells[n] for n in (2, 3, 7, 8)] == ["–"] * 4
    assert "sadam" not in parts["spectrum"]["traces"]
    assert "nan" not in json.dumps(parts)


def test_each_series_of_the_spectrum_is_named_and_differs(view: View) -> None:
    drawn = {}
    for series in ("gradient", "update", "update-applied"):
        shown = replace(view, experiment=view.experiment.change(series=series))
        chart = board(shown)["spectrum"]
        drawn[chart["title"].removeprefix("Spectrum of the ")] = decoded(
            chart["traces"]["sadam"]["y"]
        ).tobytes()
    assert set(drawn) == {"gradient", "update, a divided out", "update as applied"}
    assert len(set(drawn.values())) == 3


def test_without_maps_the_plane_says_when_they_come(view: View) -> None:
    chart = board(replace(view, maps=None))["slice"]
    assert chart["traces"] == {}
    assert chart["note"].startswith("Computed at step 100, 200, 400")
