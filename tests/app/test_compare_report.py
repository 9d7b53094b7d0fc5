"""The report: its numbers are those of the Parquet files, and it opens without a network."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import sync_playwright
from scipy import stats

from app.charts.spec import number
from app.compare.comparison import FIGURES, Result, Tuned
from app.compare.plan import plans
from app.compare.tables import sentences
from app.experiment import Experiment
from app.glossary import VIEWS
from tests.app.compare_cases import TUNED, compare
from tests.app.test_charts import decoded
from tests.browser.chromium import FLAGS, find_chromium

LANES = ("adamw", "sadam", "smaller", "swapped")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("compare")
    with pytest.MonkeyPatch.context() as patch:
        assert compare(f"{TUNED} --reference sadam --out 'my <out>'", base, patch) == 0
    return base / "my <out>"


@pytest.fixture(scope="module")
def parts(folder: Path) -> dict[str, Any]:
    page = (folder / "report.html").read_text("utf-8")
    found = re.search(r'<script type="application/json" id="report">(.*?)</script>', page)
    assert found is not None
    return json.loads(found.group(1))


@pytest.fixture(scope="module")
def runs(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "runs.parquet")


def rows(parts: dict[str, Any], name: str) -> dict[str, dict[str, str]]:
    table = parts[name]
    return {
        row["key"]: dict(zip(table["columns"], row["cells"], strict=True)) for row in table["rows"]
    }


def test_the_tables_numbers_are_those_of_the_parquet_file(
    parts: dict[str, Any], runs: pd.DataFrame
) -> None:
    table = rows(parts, "figures")
    assert tuple(table) == LANES
    base = runs[runs.lane == "sadam"].accuracy.to_numpy(float)
    for key, cells in table.items():
        own = runs[runs.lane == key]
        assert len(own) == 3
        assert cells["Test accuracy, %"] == number(100 * own.accuracy.astype(float).mean())
        assert cells["Loss"] == number(own.loss.astype(float).mean())
        assert cells["Loss jump per step"] == number(own.loss_jump.mean())
        assert cells["Path length"] == number(own.path_length.astype(float).mean())
        assert cells["Forward passes"] == f"{own.forwards.mean():,.0f}"
        if key == "sadam":
            continue
        gaps = 100 * (own.accuracy.to_numpy(float) - base)
        low, high = stats.t.interval(0.9, 2, gaps.mean(), stats.sem(gaps))
        said = cells["less S-Adam, 90% interval"].replace("−", "-")
        ends = [float(end) for end in re.findall(r"[-+]?[\d.]+(?:e[-+]\d+)?", said)[:3]]
        np.testing.assert_allclose(ends, [gaps.mean(), low, high], rtol=6e-3, atol=6e-3)
        assert said.endswith(": no difference seen") == (low <= 0 <= high)


def test_passes_are_one_a_step_and_two_probes(runs: pd.DataFrame) -> None:
    spent = runs.groupby("lane").forwards.unique()
    assert {key: value.tolist() for key, value in spent.items()} == {
        "adamw": [12],
        "sadam": [36],
        "smaller": [12],
        "swapped": [12],
    }


def test_the_charts_numbers_are_those_of_the_parquet_files(
    parts: dict[str, Any], runs: pd.DataFrame, folder: Path
) -> None:
    history = pd.read_parquet(folder / "history.parquet")
    assert set(history.lane) == set(LANES)
    tuning = pd.read_parquet(folder / "tuning.parquet")
    for key in LANES:
        own = history[history.lane == key].pivot_table(
            index="step", columns="seed", values="probe_loss"
        )
        assert list(own.index) == list(range(13))
        trace = parts["chart-loss"]["traces"][key]
        np.testing.assert_array_equal(
            decoded(trace["y"]), np.median(own.to_numpy(float), axis=1).astype("f4")
        )
        accuracy = runs[runs.lane == key].accuracy.to_numpy() * 100.0
        np.testing.assert_allclose(decoded(parts["chart-ends"]["traces"][key]["x"]), accuracy)
        mean = tuning[tuning.lane == key].groupby("lr").accuracy.mean() * 100
        trace = parts["chart-tuning"]["traces"][key]
        np.testing.assert_allclose(decoded(trace["x"]), mean.index.to_numpy())
        np.testing.assert_allclose(decoded(trace["y"]), mean.to_numpy())


def test_the_end_of_the_history_is_the_table(folder: Path, runs: pd.DataFrame) -> None:
    history = pd.read_parquet(folder / "history.parquet")
    end = history[history.step == 12].set_index(["lane", "seed"])
    at = runs.set_index(["lane", "seed"])
    for ours, theirs in (("probe_loss", "loss"), ("path_length", "path_length"), ("lr", "lr")):
        pd.testing.assert_series_equal(end[ours], at[theirs], check_names=False)


def test_every_seeds_rate_is_the_best_of_the_other_seeds(folder: Path, runs: pd.DataFrame) -> None:
    tuning = pd.read_parquet(folder / "tuning.parquet")
    assert not tuning.diverged.any()
    for (lane, seed), lr in runs.set_index(["lane", "seed"]).lr.items():
        others = tuning[(tuning.lane == lane) & (tuning.seed != seed)].groupby("lr")
        order = (
            others[["accuracy", "loss"]]
            .mean()
            .sort_values(["accuracy", "loss"], ascending=[False, True], kind="stable")
        )
        coarse = [f"{10 ** (i / 2):.4g}" for i in range(-6, 1)]
        start = next(float(x) for x in order.index if f"{x:.4g}" in coarse)
        near = order[(order.index > start / 3.3) & (order.index < start * 3.3)]
        assert lr == near.index[0]


def test_the_tuning_table_says_where_the_best_lies(parts: dict[str, Any]) -> None:
    for cells in rows(parts, "layers").values():
        assert re.fullmatch(r"no|yes, under \d of 3 seeds: widen --rates", cells["At the edge"])
        assert int(cells["Tried"]) >= 11


def test_the_words_say_what_was_done(parts: dict[str, Any], folder: Path) -> None:
    words = parts["words"]
    facts = dict(words["facts"])
    assert facts["Command"] == (
        "python -m app compare --scenario moons --lanes adamw,sadam,smaller,swapped --seeds 3 "
        "--steps 12 --tune lr --rates 1e-3:1 --reference sadam --out 'my <out>'"
    )
    assert re.fullmatch(r"\d+ CPUs, .*; torch 2\..*", facts["Machine"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", facts["Date"])
    assert facts["Runs"] == "12 steps, batch 256 of 256 samples, seeds 0 to 2"
    assert words["summary"][0].startswith("3 seeds, S-Adam's accuracy against AdamW's: ")
    text = (folder / "table.md").read_text("utf-8")
    assert text.startswith(words["summary"][0])
    for row in parts["figures"]["rows"]:
        assert f"| {' | '.join(row['cells'])} |\n" in text


def test_the_experiment_opens_on_the_page(folder: Path, runs: pd.DataFrame) -> None:
    experiment = Experiment.from_query(json.loads((folder / "experiment.json").read_text()))
    assert experiment.lanes == LANES
    assert (experiment.scenario, experiment.seeds, experiment.steps) == ("moons", 3, 12)
    assert experiment.lr in set(runs[runs.lane == "sadam"].lr)


@pytest.mark.parametrize("tuned", [None, Tuned({}, np.zeros((2, 3), int))])
def test_the_verdict_says_whether_every_lane_has_its_own_rate(tuned: Tuned | None) -> None:
    (plan,) = plans(
        {"lanes": "adamw,sadam", "seeds": "3"}, [], tune=False, rates=None, device="cpu"
    )
    runs = dict.fromkeys(FIGURES, np.full((2, 3), -1.0))
    runs |= {"accuracy": np.array([[0.9, 0.91, 0.93], [0.8, 0.82, 0.83]])}
    made = Result(plan, np.full((2, 3), 0.01), tuned, runs, np.arange(1), {})
    gaps = 100 * (runs["accuracy"][1] - runs["accuracy"][0])
    low, high = stats.t.interval(0.9, 2, gaps.mean(), stats.sem(gaps))
    found, best = sentences(made)
    ends = f"({number(-high)} to {number(-low)})"
    assert found == (
        f"3 seeds, S-Adam's accuracy against AdamW's: worse by {number(-gaps.mean())} points "
        f"{ends}. {'Each at its best rate,' if tuned else 'At this learning rate'} S-Adam is no "
        "better than AdamW."
    )
    assert best == "Highest mean test accuracy: AdamW, 91.3 %."


@pytest.mark.browser
def test_the_report_opens_with_no_network(folder: Path, parts: dict[str, Any]) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=[*FLAGS])
        context = browser.new_context(offline=True, viewport={"width": 1440, "height": 1000})
        page = context.new_page()
        asked, errors = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        page.goto((folder / "report.html").resolve().as_uri())
        page.wait_for_selector('[data-panel="chart-tuning"] .scatterlayer .trace', timeout=30_000)
        assert len(asked) == 1, asked
        assert errors == []
        for name in ("figures", "layers"):
            shown = page.locator(f'table[data-table="{name}"] tr[data-row] td').all_inner_texts()
            assert shown == [cell for row in parts[name]["rows"] for cell in row["cells"]]
        assert page.locator(".cs-facts").inner_text().count(html.unescape("my <out>")) == 1
        for name, count in (("differences", 4), ("ends", 4), ("loss", 12), ("tuning", 4)):
            traces = page.locator(f'[data-panel="chart-{name}"] .scatterlayer .trace')
            assert traces.count() == count
        context.close()
        browser.close()


def test_every_table_and_chart_has_its_terms(parts: dict[str, Any]) -> None:
    views = VIEWS[parts["words"]["page"]]
    assert {name.removeprefix("chart-") for name in parts if name != "words"} == views.keys()
