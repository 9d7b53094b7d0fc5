"""Promises against runs whose answer is known."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from demo_models.problem import build
from demo_models.scenarios import SCENARIOS
from probes import Objective
from sadam.batches import Batches
from sadam.ensemble import Ensemble
from sadam.lanes import DEFAULT_LANES, LANES
from sadam.promises import broken_promises, loss_jump, promise_kept, relative_jump
from sadam.settings import Settings

NAN = float("nan")


def descent(h: float, lr: float, steps: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """promised and got of gradient descent on h x^2 / 2."""
    x, promised, got = 1.0, [], [NAN]
    for _ in range(steps):
        update = -lr * h * x
        promised.append(h * x * update)
        got.append(h * ((x + update) ** 2 - x**2) / 2)
        x += update
    return np.array([*promised, NAN]), np.array(got)


@pytest.mark.parametrize("lr", [0.1, 0.7, 1.5, 2.5])
def test_gradient_descent_on_a_parabola_keeps_one_minus_half_its_curvature(lr: float):
    promised, got = descent(1.0, lr)
    assert promise_kept(promised, got) == pytest.approx(1 - lr / 2, abs=1e-12)
    assert broken_promises(promised, got) == (1.0 if lr > 2 else 0.0)


def test_only_promised_falls_can_be_broken():
    assert broken_promises([-1, -1, 1, 0], [NAN, 2, -2, 5]) == 0.5
    assert broken_promises([1, 1], [NAN, 1]) is None
    assert broken_promises([-1, NAN, -1, -1], [NAN, 1, 1, NAN]) == 1.0
    assert promise_kept([0, 0], [NAN, 1]) is None


def test_jumps():
    assert loss_jump([1.0, 3.0, 2.0]) == 1.5
    assert relative_jump([1.0, 3.0, 2.0]) == 0.75
    assert np.isnan(loss_jump([1.0]))
    assert np.isnan(relative_jump([0.0, 0.0]))
    assert loss_jump([1.0, 2.0, NAN, 5.0]) == 1.0


@given(st.lists(st.floats(0.1, 100), min_size=3, max_size=30), st.floats(0.1, 10))
def test_the_relative_jump_does_not_see_the_scale(losses: list[float], scale: float):
    scaled = [scale * loss for loss in losses]
    assert relative_jump(scaled) == pytest.approx(relative_jump(losses), rel=1e-9)


def test_got_is_the_change_on_the_same_batch():
    problem = build(SCENARIOS["digits-2bit-batch8"])
    assert problem.train
    assert problem.probe
    seeds = [0, 3]
    batches = Batches(*problem.train, size=8, seeds=seeds)
    objective = Objective.from_module(problem.network(0), problem.loss, problem.probe)
    ensemble = Ensemble(
        objective,
        [LANES[key] for key in DEFAULT_LANES],
        seeds=seeds,
        initial=torch.stack([problem.start(seed) for seed in seeds]),
        batches=batches,
        settings=Settings(),
    )
    assert ensemble.record.got.isnan().all()
    for step in range(3):
        before = ensemble.theta
        got = ensemble.step().got
        inputs, targets = batches.at(step)
        for run in range(6):
            own = objective.with_batch((inputs[run % 2], targets[run % 2]))
            true = own.losses(ensemble.theta[run : run + 1]) - own.losses(before[run : run + 1])
            assert float(got[run]) == pytest.approx(float(true), abs=1e-5)


def test_got_of_a_full_batch_or_a_function_is_the_change_of_the_recorded_loss():
    theta = torch.tensor([[2.0, -1.0]], dtype=torch.float64)
    ensemble = Ensemble(
        Objective.from_function(lambda p: p.square().sum(-1), theta[0]),
        [LANES[key] for key in DEFAULT_LANES],
        seeds=[0],
        initial=theta,
        batches=None,
        settings=Settings(),
    )
    for _ in range(5):
        before = ensemble.record
        after = ensemble.step()
        assert torch.equal(after.got, after.loss - before.loss)
        # On a parabola the tangent is wrong by the curvature alone: |update|^2.
        real = before.promised + before.update_norm.square()
        assert torch.allclose(after.got, real, rtol=1e-9, atol=0)


@given(st.floats(0.01, 50), st.floats(1e-3, 0.99), st.integers(1, 40))
def test_whatever_the_curvature_one_minus_half_of_it_is_kept(h: float, share: float, steps: int):
    lr = 2 * share / h  # below the limit of stability
    promised, got = descent(h, lr, steps)
    assert promise_kept(promised, got) == pytest.approx(1 - lr * h / 2, abs=1e-9)
    assert broken_promises(promised, got) == 0


def test_what_the_functions_cannot_take():
    with pytest.raises(ValueError, match="there are 3 promised and 2 got; give both of the same"):
        promise_kept([-1, -1, -1], [NAN, 1])
    with pytest.raises(ValueError, match=r"losses has shape \(3, 2\); give one run at a time"):
        loss_jump(np.zeros((3, 2)))
    for nothing in (promise_kept, broken_promises):
        assert nothing([], []) is None
        assert nothing([-1], [NAN]) is None
        assert nothing([NAN, NAN], [NAN, NAN]) is None
    assert np.isnan(relative_jump([]))
