"""The choice of a learning rate: the grid, and that a seed never chooses its own."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from app.compare.plan import plans
from app.compare.samples import tuning_split
from app.compare.tuning import Grid, Scores, best, rate
from demo_models import problem
from demo_models.data import Data
from demo_models.scenarios import SCENARIOS
from tests.app.compare_cases import TUNED, compare


def test_a_decade_holds_eight_rates_and_the_coarse_grid_two() -> None:
    grid = Grid(1e-3, 1.0)
    assert [rate(i) for i in grid.coarse()] == [0.001, 0.003162, 0.01, 0.03162, 0.1, 0.3162, 1.0]
    near = [rate(i) for i in grid.near(-16)]  # 10^-2
    np.testing.assert_allclose(near, 10 ** (np.arange(-20, -11) / 8), rtol=5e-4)
    assert len([r for r in near if 0.003162 <= r < 0.03162]) == 8


def test_the_grid_ends_where_it_was_told() -> None:
    grid = Grid(0.002, 0.5)
    assert 0.002 <= rate(grid.first) < 0.002 * 10 ** (1 / 8)
    assert 0.5 / 10 ** (1 / 8) < rate(grid.last) <= 0.5
    assert grid.coarse()[-1] == grid.last
    assert grid.near(grid.last) == list(range(grid.last - 4, grid.last + 1))
    assert grid.at_edge(grid.first)
    assert grid.at_edge(grid.last)
    assert not grid.at_edge(grid.first + 1)


@pytest.mark.parametrize("ends", [(1.0, 0.1), (0.0, 1.0), (0.1, 0.11), (float("nan"), 1.0)])
def test_a_grid_without_two_rates_is_refused(ends: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="expected two numbers above 0"):
        Grid(*ends)


def scores(accuracy: list[float], loss: list[float], diverged: list[bool]) -> Scores:
    return Scores(np.array(accuracy), np.array(loss), np.array(diverged))


def test_divergence_counts_first_then_accuracy_then_loss_then_the_lower_rate() -> None:
    sound = [False, False, False]
    tried = {
        1: scores([0.9, 0.9, 0.9], [1.0, 1.0, 1.0], [False, True, False]),
        2: scores([0.8, 0.8, 0.8], [2.0, 2.0, 2.0], sound),
        3: scores([0.8, 0.8, 0.8], [1.5, 1.5, 1.5], sound),
        4: scores([0.8, 0.8, 0.8], [1.5, 1.5, 1.5], sound),
    }
    assert best(tried, tried, left_out=0) == 3
    assert best(tried, tried, left_out=1) == 1, "the seed that diverged does not count"
    assert best(tried, [4, 2], left_out=0) == 4


@given(st.data())
def test_a_seeds_own_scores_never_choose_its_rate(data: st.DataObject) -> None:
    numbers = st.lists(st.floats(0, 1), min_size=4, max_size=4)
    flags = st.lists(st.booleans(), min_size=4, max_size=4)
    tried = {
        place: scores(data.draw(numbers), data.draw(numbers), data.draw(flags))
        for place in range(5)
    }
    left_out = data.draw(st.integers(0, 3))
    chosen = best(tried, tried, left_out)
    for score in tried.values():
        for values in (score.accuracy, score.loss):
            values[left_out] = data.draw(st.floats(0, 1))
        score.diverged[left_out] = data.draw(st.booleans())
    assert best(tried, tried, left_out) == chosen


@pytest.mark.parametrize("key", ["digits-2bit", "digits-2bit-batch8", "moons"])
def test_what_scores_is_neither_trained_on_nor_tested_on(key: str) -> None:
    split, whole = tuning_split(SCENARIOS[key]), problem.build(SCENARIOS[key])
    assert whole.test is not None
    everything = problem.build(replace(SCENARIOS[key], pool=None, batch=1)).train
    assert everything is not None
    rows = torch.cat([split.train[0], split.scored[0]])
    assert torch.equal(rows, everything[0][: len(rows)]), "one after the other, none twice"
    assert len(split.scored[1]) >= len(split.train[1]) // 5
    pool = SCENARIOS[key].pool
    assert len(split.train[1]) == (pool or 1437 - 287)


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """All test samples are nan and all their labels wrong by one."""
    honest = problem._loaded

    def loaded(name: str) -> Data:
        data = honest(name)
        inputs, labels = data.test
        wrong = (labels + 1) % data.classes
        return replace(data, test=(torch.full_like(inputs, torch.nan), wrong))

    monkeypatch.setattr(problem, "_loaded", loaded)


def test_tuning_never_sees_the_test_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    import pyarrow.parquet as pq

    words = TUNED.replace("adamw,sadam,smaller,swapped", "adamw,sadam")
    assert compare(f"{words} --out clean", tmp_path, monkeypatch) == 0
    request.getfixturevalue("poisoned")
    assert compare(f"{words} --out poisoned", tmp_path, monkeypatch) == 0

    def table(folder: str, name: str) -> dict[str, list[float]]:
        return pq.read_table(io.BytesIO((tmp_path / folder / name).read_bytes())).to_pydict()

    assert table("clean", "tuning.parquet") == table("poisoned", "tuning.parquet")
    clean, poison = table("clean", "runs.parquet"), table("poisoned", "runs.parquet")
    assert clean["lr"] == poison["lr"]
    assert clean["accuracy"] != poison["accuracy"], "the poison works"
    assert not np.isfinite(poison["scored_loss"]).any()


def test_a_function_is_tuned_by_its_loss_from_other_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = "--scenario quadratic --lanes adamw,sgd --seeds 2 --steps 15 --tune lr --rates 0.01:1"
    assert compare(f"{words} --out out", tmp_path, monkeypatch) == 0
    text = (tmp_path / "out" / "table.md").read_text("utf-8")
    assert "Loss of the other seeds" in text
    assert "Test accuracy" not in text


def test_every_lane_may_choose_another_rate() -> None:
    (plan,) = plans({"lanes": "adamw,sadam", "seeds": "2"}, [], tune=True, rates=None, device="cpu")
    assert plan.rates == Grid(1e-4, 1.0)
