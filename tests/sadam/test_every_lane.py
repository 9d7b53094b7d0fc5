"""All lanes at once: equal to single runs and to plain loops, restored to the bit, and recorded."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from probes.directions import draw_directions
from sadam import LANES, Ensemble, Lane, Settings
from sadam.dampings import draw_slope_lgi
from sadam.reference import (
    reference_adamw,
    reference_prox_sgd,
    reference_rmsprop,
    reference_sadam,
    reference_sgd,
)
from tests.sadam.test_ensemble import CLIFFS, assert_equal, ensemble, function, start
from tests.sadam.test_snapshots import saved

SEEDS = (0, 3)
ALL = [*LANES.values(), Lane("slower", "AdamW, 1/sqrt(t)", schedule="inverse-sqrt")]
KEYS = [lane.key for lane in ALL]
STEPS = 30
SETTINGS = Settings(k_directions=3, total_steps=25, lane_lr=(("sgd", 0.05), ("slower", 0.03)))


def everything(**changes) -> Ensemble:
    return ensemble(**{"lanes": ALL, "seeds": SEEDS, "settings": SETTINGS} | changes)


def fitting(lanes: list[Lane]) -> Settings:
    """The settings without the rates of lanes that do not train."""
    keys = [lane.key for lane in lanes]
    return replace(SETTINGS, lane_lr=tuple(rate for rate in SETTINGS.lane_lr if rate[0] in keys))


def paths(runs: Ensemble, steps: int = STEPS) -> tuple[Tensor, Tensor]:
    """theta (steps + 1, L, S, P) and dampings (steps, L, S)."""
    grid = (len(runs.lanes), len(runs.seeds))
    thetas, dampings = [runs.theta], []
    for _ in range(steps):
        dampings.append(runs.record.damping)
        runs.step()
        thetas.append(runs.theta)
    return torch.stack(thetas).view(steps + 1, *grid, -1), torch.stack(dampings).view(-1, *grid)


def plain_path(key: str, runs: Ensemble, s: int, sadam: list[list[float]]) -> Tensor:
    """theta (STEPS + 1, P) of one lane and seed by its plain loop; sadam: each seed's dampings."""
    objective, batches, seed = runs.objective, runs.batches, runs.seeds[s]
    layout = objective.layout
    theta = [start(seed, objective.size)[e.start : e.stop].clone() for e in layout]

    def loss(values: list[Tensor], t: int) -> Tensor:
        X, y = batches.at(t - 1)
        batch = (X, y) if batches.full else (X[s], y[s])
        return objective.loss(torch.cat(values), batch)

    draws = []
    for t in range(STEPS):
        raw = draw_directions(3, layout, seed=seed, step=t, dtype=torch.float64)
        draws.append([[d[e.start : e.stop] for e in layout] for d in raw])

    lr, own, T = [0.01] * STEPS, sadam[s], range(STEPS)
    means = [sum(own[max(0, t - 31) : t + 1]) / len(own[max(0, t - 31) : t + 1]) for t in T]
    random = [math.exp(-2 * draw_slope_lgi(3, seed=seed, step=t)) for t in T]
    cosine = [0.01 * 0.5 * (1 + math.cos(math.pi * min(t, 25) / 25)) for t in T]
    ones = [1.0] * STEPS
    loop = {
        "adamw": lambda: reference_adamw(loss, theta, zip(ones, lr, strict=True)),
        "sadam": lambda: reference_sadam(loss, theta, draws, lr=0.01),
        "smaller": lambda: reference_adamw(loss, theta, zip(means, lr, strict=True)),
        "swapped": lambda: reference_adamw(loss, theta, zip(sadam[1 - s], lr, strict=True)),
        "random-law": lambda: reference_adamw(loss, theta, zip(random, lr, strict=True)),
        "asymmetry": lambda: reference_sadam(loss, theta, draws, lr=0.01, damped_by="asymmetry"),
        "cosine": lambda: reference_adamw(loss, theta, zip(ones, cosine, strict=True)),
        "slower": lambda: reference_adamw(
            loss, theta, zip(ones, [0.03 / math.sqrt(t + 1) for t in T], strict=True)
        ),
        "rmsprop": lambda: reference_rmsprop(loss, theta, lr),
        "sgd": lambda: reference_sgd(loss, theta, [0.05] * STEPS),
        "prox": lambda: reference_prox_sgd(loss, theta, lr),
    }[key]
    path = [torch.cat(theta)]
    path += [torch.cat(theta) for _ in loop()]
    return torch.stack(path)


@pytest.mark.parametrize("size", [16, 60], ids=["mini-batches", "full batch"])
def test_every_lane_is_its_plain_loop(size: int):
    runs = everything(size=size)
    found, dampings = paths(runs)
    sadam = dampings[:, 1].T.tolist()
    for lane, key in enumerate(KEYS):
        for s in range(2):
            gap = (found[:, lane, s] - plain_path(key, runs, s, sadam)).abs().max().item()
            assert gap <= 1e-12, f"{key}, seed {SEEDS[s]}: {gap}"
    ends = found[-1].flatten(0, 1)
    assert torch.cdist(ends, ends).fill_diagonal_(1).min() > 1e-3  # 22 different runs


def test_every_lane_is_its_single_run():
    found, _ = paths(everything(), 10)
    for key in KEYS:
        lane = ALL[KEYS.index(key)]
        lanes = [*(LANES[other] for other in lane.needs), lane]
        for s in range(2):
            seeds = SEEDS if lane.needs_seeds > 1 else SEEDS[s : s + 1]
            alone, _ = paths(everything(lanes=lanes, seeds=seeds, settings=fitting(lanes)), 10)
            own = alone[:, -1, s if len(seeds) > 1 else 0]
            assert (found[:, KEYS.index(key), s] - own).abs().max() <= 1e-13, key


@pytest.mark.parametrize("how", ["torch", "numpy"])
@pytest.mark.parametrize("size", [16, 60], ids=["mini-batches", "full batch"])
def test_all_lanes_go_on_from_a_state_to_the_bit(how: str, size: int):
    first, second = (everything(size=size, dtype=torch.float32) for _ in range(2))
    for _ in range(40):
        first.step()
    first.settings = Settings(total_steps=50, lane_lr=(("sgd", 0.1 + 0.2),), momentum=0.8, l1=0.1)
    second.restore(saved(first.state(), how))
    assert second.settings == first.settings
    for _ in range(5):
        assert_equal(first, second)
        for each in (first, second):
            each.step()


def test_a_state_whose_settings_do_not_fit_is_refused():
    runs, untouched, plain = everything(), everything(), ensemble()
    older, kept = everything(), plain.settings
    older.step()
    state = older.state()
    for broken, text in [
        ({"settings.total_steps": 0}, "lane 'cosine' decays along a cosine and total_steps is No"),
        ({"settings.lane_lr": "sgd=1"}, "the state's settings.lane_lr is 'sgd=1'; expected pairs"),
        ({"settings.lane_lr": "[[1, 2]]"}, "lane_lr is .*; give pairs of a lane's key"),
        ({"settings.momentum": 2.0}, "momentum is 2.0; give a number of at least 0 and below 1"),
        ({"settings.lane_lr": '[["me", 1.0]]'}, "lane_lr names lane 'me'; give keys among"),
    ]:
        with pytest.raises(ValueError, match=text):
            runs.restore(state | broken)
        assert_equal(runs, untouched)
    with pytest.raises(ValueError, match=r"one of lanes adamw .*and this is one of lanes adamw"):
        plain.restore(state)
    with pytest.raises(ValueError, match="lane_lr names lane 'me'; give keys among adamw, "):
        plain.settings = Settings(lane_lr=(("me", 1.0),))
    assert plain.settings is kept
    with pytest.raises(ValueError, match="'swapped' needs at least 2 seeds and was given 1; add"):
        everything(seeds=(0,))


def test_eight_lanes_and_32_seeds_at_once():
    keys = ("adamw", "sadam", "smaller", "swapped", "random-law", "asymmetry", "cosine", "sgd")
    lanes = [LANES[key] for key in keys]
    runs = ensemble(lanes, tuple(range(32)), settings=fitting(lanes))
    for _ in range(3):
        runs.step()
    assert runs.theta.shape == (256, runs.objective.size)
    assert runs.alive.all()
    assert runs.record.loss.isfinite().all()
    # The last lane's last seed is the one that trains alone.
    alone = ensemble([LANES["sgd"]], (31,), settings=fitting(lanes))
    for _ in range(3):
        alone.step()
    assert (runs.theta[-1] - alone.theta[0]).abs().max() <= 1e-13


def test_forward_passes_spent():
    runs = everything()
    costs = dict.fromkeys(KEYS, 1) | {"sadam": 1 + 3, "asymmetry": 1 + 6}
    each = torch.tensor([costs[key] for key in KEYS]).repeat_interleave(2)
    for t in range(4):
        assert torch.equal(runs.record.forwards, (t + 1) * each)
        runs.step()
    before = runs.record.forwards
    runs.settings = Settings(total_steps=9, lgi_lambda=0.0)
    assert torch.equal(runs.step().forwards, before + 1)


def test_the_path_is_the_sum_of_all_steps_taken():
    runs = everything()
    path, _ = paths(runs, 12)
    lengths = path.diff(dim=0).norm(dim=-1).sum(0).flatten()
    assert (runs.record.path_length - lengths).abs().max() <= 1e-12
    assert (everything().record.path_length == 0).all()


def test_the_slope_at_the_end_of_a_step():
    for runs in (everything(size=60), function(lambda p: p.pow(4).sum(1), [[1.0, 2.0]])):
        assert runs.record.slope_after.isnan().all()
        for _ in range(3):
            before = runs.theta
            runs.step()
            slopes = (runs.objective.gradients(runs.theta) * (runs.theta - before)).sum(1)
            assert torch.allclose(runs.record.slope_after, slopes, rtol=1e-10, atol=1e-15)
    runs = everything(size=16)
    assert runs.step().slope_after.isnan().all()


def test_gradient_descent_on_a_parabola_has_its_alpha():
    # On h x^2/2 the gradient after a step is 1 - lr h times that before, and alpha = lr h - 1.
    h, lr = 3.0, 0.5
    runs = function(
        lambda p: h / 2 * p.square().sum(1), [[1.0, -2.0]], [LANES["sgd"]], lr=lr, momentum=0.0
    )
    for _ in range(5):
        promised = runs.record.promised
        after = runs.step().slope_after
        assert (-after / promised).item() == pytest.approx(lr * h - 1, rel=1e-12)


def test_a_frozen_run_walks_and_spends_no_more():
    lanes = [LANES[key] for key in ("adamw", "sadam", "rmsprop", "sgd", "prox")]
    runs = function(CLIFFS["loss nan"], [[1.55, 2.0], [30.0, 2.0]], lanes)
    path, records = [runs.theta], [runs.record]
    for _ in range(12):
        records.append(runs.step())
        path.append(runs.theta)
    lengths = torch.stack(path).diff(dim=0).norm(dim=-1).sum(0)
    assert (records[-1].path_length - lengths).abs().max() <= 1e-12
    for r, at in enumerate(runs.diverged_at.tolist()):
        cost = 3 if 2 <= r < 4 else 1
        # It learned of its end by spending the step at which it was frozen.
        assert records[-1].forwards[r] == cost * (13 if at < 0 else at + 1)
        if at >= 0:
            assert all(math.isnan(seen.slope_after[r]) for seen in records[at:])
    ends = runs.diverged_at.view(5, 2).T.tolist()
    assert [at > 0 for at in ends[0]] == [True, False, True, True, True]  # S-Adam is still there
    assert ends[1][:3] == [-1] * 3
