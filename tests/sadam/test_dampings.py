"""Controls: the laws of their dampings, and what they share with the lane they control."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from probes.instability import mean_damping_on_slope
from probes.objective import Objective
from sadam import LANES, Ensemble, Lane, Settings
from sadam.dampings import draw_slope_lgi
from tests.sadam.test_ensemble import CLIFFS, ensemble, function

CONTROLS = [LANES[key] for key in ("sadam", "smaller", "swapped", "random-law", "asymmetry")]


def by_lane(runs: Ensemble, lanes: int, name: str) -> Tensor:
    return getattr(runs.record, name).view(lanes, -1)


def dampings(runs: Ensemble, steps: int) -> Tensor:
    """(steps, L, S) as recorded."""
    seen = []
    for _ in range(steps):
        seen.append(by_lane(runs, len(runs.lanes), "damping"))
        runs.step()
    return torch.stack(seen)


def test_controls_start_from_the_same_weights_batches_and_draws():
    twin = Lane("twin", "S-Adam by asymmetry at no strength", damping="asymmetry")
    runs = ensemble([*CONTROLS, twin], (0, 3, 5))
    for _ in range(3):
        here = runs.theta.view(6, 3, -1)
        loss, norm, rho = (by_lane(runs, 6, name) for name in ("loss", "gradient_norm", "lgi"))
        if runs.t == 0:
            assert all(torch.equal(here[0], lane) for lane in here)
            # At one theta all that the batch and the directions decide is equal between lanes.
            assert (loss - loss[0]).abs().max() <= 1e-15
            assert (norm - norm[0]).abs().max() <= 1e-15
            assert torch.allclose(rho[4], rho[0], rtol=1e-9, atol=0)
            assert len({round(x, 9) for x in rho[0].tolist()}) == 3
        assert torch.allclose(rho[4], rho[5], rtol=1e-9, atol=0)
        assert rho[1:4].isnan().all()
        runs.step()


def test_swapped_has_the_same_multiset_at_every_step():
    runs = ensemble(CONTROLS[:3], (0, 3, 5, 9))
    seen = dampings(runs, 40)
    own, swapped = seen[:, 0], seen[:, 2]
    assert torch.equal(swapped, own.roll(-1, dims=1))  # that of seed s + 1, cyclic
    assert torch.equal(swapped.sort(dim=1).values, own.sort(dim=1).values)
    assert (swapped != own).all()


def test_smaller_is_the_mean_of_the_last_32():
    seen = dampings(ensemble(CONTROLS), 50)
    for t in range(50):
        expected = seen[max(0, t - 31) : t + 1, 0].mean(dim=0)
        assert (seen[t, 1] - expected).abs().max() <= 1e-12


@pytest.mark.parametrize(("k", "mean"), [(2, 0.3085), (8, 0.1451)])
def test_the_random_laws_draws_follow_the_law(k: int, mean: float):
    rho = np.array([draw_slope_lgi(k, seed=s, step=t) for s in range(20) for t in range(1000)])
    law = stats.beta((k - 1) / 2, 0.5, scale=k / (k - 1))
    assert stats.kstest(rho, law.cdf).pvalue > 0.01
    damping = np.exp(-2 * rho)
    error = damping.std() / math.sqrt(len(damping))
    assert mean_damping_on_slope(k, 2) == pytest.approx(mean, abs=5e-5)
    assert abs(damping.mean() - mean_damping_on_slope(k, 2)) < 3 * error < 0.01
    # Unlike its neighbours in seed and step: no two draws agree, and they do not go together.
    assert len(set(rho)) == len(rho)
    grid = rho.reshape(20, 1000)
    for a, b in ((grid[1:], grid[:-1]), (grid[:, 1:], grid[:, :-1])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 4 / math.sqrt(a.size)


@pytest.mark.parametrize("k", [2, 8])
def test_lgi_on_a_slope_damps_like_the_random_law(k: int):
    # Linear in 400 parameters, where rho follows the law up to 1 / P; zeta = 0, so any slope.
    slope = torch.randn(400, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    runs = Ensemble(
        Objective.from_function(lambda p: p @ slope, slope),
        [LANES["sadam"], LANES["random-law"]],
        seeds=range(16),
        initial=slope.repeat(16, 1),
        batches=None,
        settings=Settings(k_directions=k, stabilize_eps=0.0),
    )
    measured, drawn = dampings(runs, 250).movedim(1, 0).flatten(1)
    expected, error = mean_damping_on_slope(k, 2), measured.std().item() / math.sqrt(4000)
    assert abs(measured.mean().item() - expected) < 3 * error < 0.02
    assert stats.ks_2samp(measured.numpy(), drawn.numpy()).pvalue > 0.01
    assert abs(np.corrcoef(measured, drawn)[0, 1]) < 4 / math.sqrt(4000)


def test_the_random_law_needs_no_other_lane_and_is_the_same_in_any_company():
    alone = ensemble([LANES["random-law"]], (3,))
    many = ensemble(CONTROLS, (0, 3))
    for _ in range(10):
        assert torch.equal(by_lane(many, 5, "damping")[3, 1], alone.record.damping[0])
        alone.step()
        many.step()
    assert alone.directions is None
    expected = math.exp(-2 * draw_slope_lgi(3, seed=3, step=10))
    assert alone.record.damping.item() == pytest.approx(expected, rel=1e-14)
    alone.settings = Settings(k_directions=1)
    assert alone.step().damping.item() == 1
    alone.settings = Settings(lgi_lambda=0.0)
    assert alone.step().damping.item() == 1


def test_the_asymmetry_of_known_places():
    # On a slope opposite changes cancel, at the minimum of |x| they are alike: 0 and 1. Where
    # nothing changes there is nothing to damp.
    lanes = [LANES["asymmetry"]]
    for f, place, expected in [
        (lambda p: p.sum(1), [1.0, 2.0], 1.0),
        (lambda p: p.abs().sum(1), [0.0, 0.0], math.exp(-2)),
        (lambda p: p[:, 0] * 0 + 3, [1.0, 2.0], 1.0),
    ]:
        runs = function(f, [place], lanes)
        assert runs.record.damping.item() == pytest.approx(expected, abs=1e-10)
    assert runs.record.lgi.item() == 0


def test_a_probe_behind_that_is_not_finite_freezes_the_lane():
    def f(points: Tensor) -> Tensor:
        return torch.where(points[:, 0] < 1, torch.nan, points.square().sum(1))

    # Of each probe's two ends one lies over the edge, for some seeds the one behind.
    lanes = [LANES["sadam"], LANES["asymmetry"]]
    runs = function(f, [[1.01, 1.0]] * 8, lanes, lr=1e-4, sigma=1.0, k_directions=1)
    forward, both = runs.alive.view(2, 8)
    assert forward.any()
    assert not both.any()


def test_who_follows_a_frozen_lane_keeps_what_it_had():
    # Seed 0 walks over the edge, seed 1 starts far from it and takes seed 0's dampings.
    f = CLIFFS["loss nan"]
    runs = function(f, [[1.55, 2.0], [30.0, 2.0]], CONTROLS[:3], weight_decay=0.0, lr=0.4)
    while by_lane(runs, 3, "damping")[0, 0].isfinite():
        before = by_lane(runs, 3, "damping")
        runs.step()
        assert runs.t < 40
    for _ in range(4):
        now = by_lane(runs, 3, "damping")
        assert now[2, 1] == before[0, 0]
        assert now[1, 0] == pytest.approx(before[1, 0].item(), rel=1e-15) or now[1, 0].isnan()
        assert now[0, 1].isfinite()
        runs.step()


def test_only_who_probes_pays(monkeypatch: pytest.MonkeyPatch):
    k, calls = 3, []
    quiet = [key for key in LANES if LANES[key].damping in ("none", "random")]
    for lanes, seeds, asked in [
        ([LANES[key] for key in quiet], (0,), []),
        # First f at theta once more, since here losses and gradients have an evaluator each.
        (
            [LANES[key] for key in ("adamw", "sadam", "smaller", "swapped")],
            (0, 3),
            [(1, 2), (k, 2)],
        ),
        ([LANES[key] for key in ("sadam", "asymmetry", "sgd")], (0,), [(2, 1), (2 * k, 1), (k, 1)]),
    ]:
        settings = Settings(k_directions=k, total_steps=9)
        runs = ensemble(lanes, seeds, size=60, settings=settings)
        evaluate = runs._stacked.losses
        monkeypatch.setattr(
            runs._stacked,
            "losses",
            lambda p, *a, evaluate=evaluate, **b: calls.append(p.shape[:2]) or evaluate(p, *a, **b),
        )
        calls.clear()
        runs.step()
        assert [tuple(shape) for shape in calls] == asked
