"""Slices: the evaluators beside a plain loop, and on the live page's default scenario."""

import pytest
import torch

from demo_models.problem import build
from demo_models.scenarios import SCENARIOS
from probes import Objective, instability_map, loss_slice, random_plane

from .harness import FULL, Figure
from .work import CNN_FLOP, MLP_FLOP, cnn, digits, mlp, plain_loop, sliced, through_vmap

# Points a side. The design's 51 and 25 with FULL=1; fewer weigh what is prepared once more.
W1_SIDE = 51 if FULL else 21
W2_SIDE = 25 if FULL else 9
ROUNDS = 7
# Times the GEMM limit that a slice may take.
GEMM_BOUND = 1.3


def flat():
    return mlp(), digits(), W1_SIDE, MLP_FLOP


def images():
    inputs, classes = digits()
    return cnn(), (inputs.view(-1, 1, 8, 8), classes), W2_SIDE, CNN_FLOP


@pytest.mark.parametrize(("name", "work", "bound"), [("W1", flat, 0.60), ("W2", images, 0.40)])
def test_slice_beside_a_plain_loop(name, work, bound, figure):
    module, batch, side, flop = work()
    objective, plane = sliced(module, batch)
    assert objective.evaluator == "layered"
    variants = {
        "slice": lambda: loss_slice(objective, plane, side),
        "plain loop": lambda: plain_loop(module, batch, plane, side),
    }
    gflop = 1e-9 * flop * len(batch[0]) * side**2
    figure(
        f"{name} slice {side} x {side} / plain loop",
        variants,
        rounds=ROUNDS,
        bound=bound,
        gflop=gflop,
        limit_bound=GEMM_BOUND,
    )


@pytest.mark.parametrize(("name", "work"), [("W1", flat), ("W2", images)])
def test_vmap_beside_a_plain_loop(name, work, figure):
    module, batch, side, flop = work()
    objective, plane = sliced(module, batch)
    side = side // 2
    variants = {
        "vmap": lambda: through_vmap(objective, plane, side),
        "plain loop": lambda: plain_loop(module, batch, plane, side),
    }
    gflop = 1e-9 * flop * len(batch[0]) * side**2
    figure(f"{name} vmap / plain loop, for comparison", variants, rounds=3, gflop=gflop)


@pytest.mark.parametrize(("name", "work"), [("W1", flat), ("W2", images)])
def test_evaluators_agree(name, work, benchmark, told):
    module, batch, _, _ = work()
    objective, plane = sliced(module, batch)
    made = benchmark.pedantic(lambda: loss_slice(objective, plane, 9), rounds=1).losses
    made = torch.from_numpy(made).float()
    apart = 0.0
    for other in (through_vmap(objective, plane, 9), plain_loop(module, batch, plane, 9)):
        apart = max(apart, float(((made - other) / other).abs().max()))
    told(Figure(f"{name}, all evaluators agree, relative", apart, 1, 1e-5))
    assert apart <= 1e-5


def live(samples=512):
    """The default scenario's objective, and the same left to vmap."""
    problem = build(SCENARIOS["digits-2bit"])
    inputs, classes = problem.probe
    batch = inputs[:samples], classes[:samples]
    objective = Objective.from_module(problem.network(0), problem.loss, batch)
    general = objective.copy()
    general._layered = "left out here"
    return objective, general, random_plane(objective, objective.theta, seed=0)


def test_the_live_page_slice(figure):
    objective, general, plane = live()
    assert (objective.evaluator, general.evaluator) == ("layered", "vmap")
    variants = {
        "slice": lambda: loss_slice(objective, plane, 33),
        "vmap": lambda: loss_slice(general, plane, 33),
    }
    gflop = 2e-9 * (64 * 64 * 2 + 640) * 512 * 33**2
    figure("2-bit digits, slice 33 x 33 / vmap", variants, rounds=ROUNDS, bound=0.5, gflop=gflop)


def test_the_live_page_map(figure):
    objective, general, plane = live(128)
    variants = {
        "map": lambda: instability_map(objective, plane, 15, k=4),
        "vmap": lambda: instability_map(general, plane, 15, k=4),
    }
    gflop = 2e-9 * (64 * 64 * 2 + 640) * 128 * 15**2 * 9
    figure("2-bit digits, map 15 x 15 x 9 / vmap", variants, rounds=ROUNDS, bound=0.6, gflop=gflop)
