"""Charts and table against the run they are drawn from, without a browser."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from app.charts.board import line_parts, slow_parts
from app.experiment import STRIPS, TABLES, Experiment
from app.grid.changes import changes
from app.live.ahead import compute_ahead
from app.live.maps import compute_maps
from app.live.run import Run
from app.live.view import View
from probes.oscillation import spectrogram


def decoded(spec: dict[str, str]) -> np.ndarray:
    values = np.frombuffer(base64.b64decode(spec["bdata"]), np.dtype(spec["dtype"]))
    return values.reshape([int(n) for n in spec["shape"].split(",")]) if "shape" in spec else values


def board(view: View) -> dict:
    return line_parts(view) | slow_parts(view)


def texts(view: View) -> dict[str, list[str]]:
    rows = board(view)["table"]["rows"]
    return {row["key"]: [cell["text"] for cell in row["cells"]] for row in rows}


def view_of(run: Run, experiment: Experiment) -> View:
    *_, maps = compute_maps(experiment, run, run.step)
    *_, ahead = compute_ahead(run, run.step)
    run.place(maps.plane)
    return View(experiment, "paused", maps=maps, ahead=ahead, **run.known())


@pytest.fixture(scope="module")
def view() -> View:
    experiment = Experiment().change(scenario="moons", bits=2, slice_resolution=9, map_resolution=5)
    run = Run(experiment)
    for _ in range(80):
        run.advance()
        run.record()
    return view_of(run, experiment)


def test_every_part_is_plain_json_without_nan(view: View) -> None:
    json.dumps(board(view), allow_nan=False)


def test_strips_show_the_loss_on_the_probe_set(view: View) -> None:
    traces = board(view)["strips"]["traces"]
    for lane, key in enumerate(view.experiment.lanes):
        np.testing.assert_array_equal(decoded(traces[key]["x"]), np.arange(81))
        own = view.columns["probe_loss"][:, lane].astype(np.float32)
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
    rows = texts(view)
    for lane, key in enumerate(view.experiment.lanes):
        losses = view.columns["probe_loss"][:, lane]
        assert float(rows[key][0]) == pytest.approx(losses[-1], rel=5e-3)
        assert float(rows[key][1].split()[0]) == pytest.approx(
            100 * view.columns["accuracy"][-1, lane], abs=0.5
        )
        jump = np.abs(np.diff(losses[-51:])).mean()
        assert float(rows[key][2]) == pytest.approx(jump, rel=5e-3)
        changed = view.columns["levels_changed"][-50:, lane].mean()
        assert float(rows[key][6]) == pytest.approx(changed, rel=5e-3)
    assert rows["adamw"][9] == "1.00"


def test_path_and_cost_are_counted(view: View) -> None:
    cost = texts(replace(view, experiment=view.experiment.change(table="cost")))
    # 81 gradients are planned by step 80; S-Adam adds two probes to each.
    assert {key: row[6] for key, row in cost.items()} == {
        "adamw": "81.0",
        "sadam": "243",
        "smaller": "81.0",
    }
    for lane, key in enumerate(view.experiment.lanes):
        length = view.columns["path_length"][-1, lane]
        assert float(cost[key][2]) == pytest.approx(length, rel=5e-3)
        losses = view.columns["probe_loss"][-51:, lane].astype(float)
        assert float(cost[key][4]) == pytest.approx(np.abs(np.diff(losses)).sum(), rel=5e-3)
        efficiency = view.columns["distance"][-1, lane] / length
        assert float(cost[key][3]) == pytest.approx(efficiency, rel=5e-3)


def test_every_strip_and_table_is_plain_json_without_nan(view: View) -> None:
    for strips in STRIPS:
        for table in TABLES:
            shown = replace(view, experiment=view.experiment.change(strips=strips, table=table))
            parts = line_parts(shown)
            json.dumps(parts, allow_nan=False)
            assert "nan" not in json.dumps(parts["table"])
            assert parts["strips"]["title"] == STRIPS[strips]


def test_a_diverged_lane_is_marked_and_its_last_finite_values_stay(view: View) -> None:
    diverged = view.diverged_at.copy()
    diverged[1] = 41
    columns = {name: column.copy() for name, column in view.columns.items()}
    for name in ("damping", "lgi", "effective_lr"):
        columns[name][41:, 1] = np.nan
    parts = board(replace(view, diverged_at=diverged, columns=columns))
    json.dumps(parts, allow_nan=False)
    assert parts["table"]["rows"][1]["title"] == "S-Adam, diverged at step 41"
    labels = [a["text"] for a in parts["strips"]["layout"]["annotations"]]
    shown = ["AdamW", "S-Adam, diverged at step 41", "AdamW, smaller step"]
    assert labels == [f"<b>{text}</b>" for text in shown]
    assert parts["table"]["rows"][1]["cells"][0]["text"] != "–"


def test_a_lane_frozen_for_long_states_no_calm_figures(view: View) -> None:
    diverged = view.diverged_at.copy()
    diverged[1] = 1
    columns = {name: column.copy() for name, column in view.columns.items()}
    for name in ("gradient_projection", "update_projection"):
        columns[name][1:, 1] = 0
    columns["probe_loss"][1:, 1] = columns["probe_loss"][0, 1]
    parts = board(replace(view, diverged_at=diverged, columns=columns))
    cells = parts["table"]["rows"][1]["cells"]
    assert [cells[n]["text"] for n in (2, 3, 7, 8)] == ["–"] * 4
    assert "sadam" not in parts["spectrum"]["traces"]
    assert "nan" not in re.sub('"bdata": "[^"]*"', "", json.dumps(parts))


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


def of_time(view: View) -> dict:
    return line_parts(replace(view, experiment=view.experiment.change(series="spectrogram")))[
        "spectrum"
    ]


def test_the_spectrogram_is_that_of_each_lanes_gradient_in_decibels(view: View) -> None:
    chart = of_time(view)
    assert chart["title"] == "Gradient spectrogram"
    assert "windows of 64 steps" in chart["note"]
    assert list(chart["traces"]) == list(view.experiment.lanes)
    for lane, key in enumerate(view.experiment.lanes):
        trace = chart["traces"][key]
        # 81 steps: windows of 64 that end at steps 64, 72 and 80.
        np.testing.assert_allclose(decoded(trace["x"]), [32.5, 40.5, 48.5])
        np.testing.assert_allclose(decoded(trace["y"]), np.arange(33) / 64)
        windows = spectrogram(view.shown("gradient_projection")[:, lane], hop=8)
        assert windows is not None
        decibels = 10 * np.log10(windows.density.T)
        np.testing.assert_allclose(decoded(trace["z"]), decibels, atol=0.5)
        assert trace["coloraxis"] == "coloraxis", "one colour scale for all"
    json.dumps(chart, allow_nan=False)


def with_tones(view: View, steps: int, *, first: int = 0) -> View:
    """The same run, as if its gradient had swung at 1/8, then at 3/8 a step, one in the last."""
    at = np.arange(first, first + steps)
    tones = np.where(at < first + steps // 2, np.cos(np.pi * at / 4), np.cos(3 * np.pi * at / 4))
    projections = np.repeat(tones[:, None, None], 2, axis=2).repeat(len(view.diverged_at), axis=1)
    rows = np.arange(steps) % len(view.steps)
    columns = {name: column[rows] for name, column in view.columns.items()}
    columns["gradient_projection"] = projections.astype(np.float32)
    last = first + steps - 1
    return replace(view, columns=columns, steps=at, step=last, last=last)


def test_a_tone_that_changes_is_seen_when_it_changes(view: View) -> None:
    chart = of_time(with_tones(view, 1000))
    trace = chart["traces"]["adamw"]
    x, y, z = (decoded(trace[axis]) for axis in "xyz")
    peaks = y[z.argmax(axis=0)]
    assert set(peaks[x + 32 < 500]) == {0.125}
    assert set(peaks[x - 32 >= 500]) == {0.375}
    assert 28 < len(x) <= 32
    assert np.diff(x).max() <= 64, "no step lies between two windows"
    scale = chart["layout"]["coloraxis"]
    assert scale["cmin"] < scale["cmax"]
    assert scale["cmax"] >= z.max()


def test_the_newest_steps_are_shown_and_no_thinned_ones(view: View) -> None:
    # Steps 0, 4, 8... were kept of the older half, every one of the newer.
    whole = with_tones(view, 3000)
    kept = np.concatenate([np.arange(0, 2700, 4), np.arange(2700, 3000)])
    columns = {name: column[kept] for name, column in whole.columns.items()}
    thinned = replace(whole, steps=whole.steps[kept], columns=columns)
    x = decoded(of_time(thinned)["traces"]["adamw"]["x"])
    assert x[0] >= 2700 + 31
    assert x[-1] == 2999 - 31.5
    assert decoded(of_time(whole)["traces"]["adamw"]["x"])[0] == pytest.approx(2999 - 2048, abs=90)
    # Neither does a spectrum mix them: 0.125 a step would be 0.5 a kept row.
    back = line_parts(thinned.at(1200))["spectrum"]
    assert back["traces"] == {}
    assert back["note"].endswith("Needs 16 steps.")


def test_no_figure_of_single_steps_is_made_of_thinned_ones(view: View) -> None:
    whole = with_tones(view, 3000)
    kept = np.concatenate([np.arange(0, 2700, 4), np.arange(2700, 3000)])
    columns = {name: column[kept] for name, column in whole.columns.items()}
    thinned = replace(whole, steps=whole.steps[kept], columns=columns)

    def row(shown: View) -> dict[str, str]:
        table = line_parts(shown)["table"]
        titles = [column["title"] for column in table["columns"]]
        return dict(zip(titles, [cell["text"] for cell in table["rows"][0]["cells"]], strict=True))

    assert row(thinned) == row(whole), "the newest steps are all there"
    back = row(thinned.at(1200))
    assert back["Loss"] == row(whole.at(1200))["Loss"]
    for title in ("Loss jump per step", "relative", "Gradient flips", "Power above 0.1"):
        assert (title, back[title]) == (title, "–")
    said = line_parts(thinned.at(1200))["sentence"]["parts"][0]["text"]
    assert said == "So long ago not every step is kept, and what needs two in a row is left out."
    # Just behind the thinned ones there are few, and the sentence counts those that it is of.
    few = line_parts(thinned.at(2709))["sentence"]["parts"][0]["text"]
    assert few == "Last 9 steps: "


def test_a_short_spectrogram_says_what_it_needs(view: View) -> None:
    early = of_time(view.at(14))
    assert early["traces"] == {}
    assert early["note"].endswith("Needs 16 steps.")
    texts = [a["text"] for a in early["layout"]["annotations"]]
    assert texts[0] == "<b>AdamW: needs 16 steps</b>"
    assert len(of_time(view.at(15))["traces"]) == len(view.experiment.lanes)
    diverged = view.diverged_at.copy()
    diverged[1] = 9
    one_gone = of_time(replace(view, diverged_at=diverged))
    assert set(one_gone["traces"]) == {"adamw", "smaller"}
    assert one_gone["layout"]["annotations"][1]["text"] == "<b>S-Adam: needs 16 steps</b>"


def test_a_refresh_with_the_spectrogram_is_small(view: View) -> None:
    def sent(steps: int) -> dict:
        long = with_tones(view, steps)
        return line_parts(replace(long, experiment=long.experiment.change(series="spectrogram")))

    news = changes(sent(900), sent(910))
    assert len(json.dumps(news)) < 25_000
    assert 3_000 < len(json.dumps(news["spectrum"])) < 6_000


def test_without_maps_the_plane_says_when_they_come(view: View) -> None:
    chart = board(replace(view, maps=None))["slice"]
    assert chart["traces"] == {}
    assert chart["note"].startswith("Computed at step 100, 200, 400")


def test_a_gradient_that_never_changes_has_a_spectrum_without_power(view: View) -> None:
    still = np.zeros_like(view.columns["gradient_projection"])
    columns = view.columns | {"gradient_projection": still}
    chart = line_parts(replace(view, columns=columns))["spectrum"]
    assert chart["layout"]["yaxis"]["ticktext"], "the axis has its ticks all the same"
