"""SAdam, the reference loop and the ensemble against traces of the released code, in float64."""

import pytest
import torch
from torch import nn

from probes.objective import Objective
from tests.sadam.traces import (
    Trace,
    Walk,
    flat,
    load,
    walk_ensemble,
    walk_optimizer,
    walk_reference,
)

WALKS = {
    "optimizer": lambda trace: walk_optimizer(trace, batched=False),
    "optimizer, probes as one vmap": lambda trace: walk_optimizer(trace, batched=True),
    "reference": walk_reference,
    "ensemble": walk_ensemble,
}


@pytest.fixture(scope="module", params=[4, 1], ids=["k4", "k1"])
def trace(request: pytest.FixtureRequest) -> Trace:
    return load(request.param)


@pytest.fixture(scope="module")
def walks(trace: Trace) -> dict[str, Walk]:
    return {name: walk(trace) for name, walk in WALKS.items()}


def test_losses_and_gradients_at_the_traces_parameters(trace: Trace):
    for t, (loss, gradient) in enumerate(zip(trace.losses, trace.gradients, strict=True)):
        model = trace.model(t)
        objective = Objective.from_module(model, nn.functional.cross_entropy, (trace.X, trace.y))
        found, slope = objective.losses_and_gradients(objective.theta[None])
        assert abs(found.item() - loss) <= 1e-12
        assert (slope[0] - flat(gradient)).abs().max() <= 1e-12


def test_probe_losses_at_the_traces_parameters(trace: Trace):
    for t, expected in enumerate(trace.probe_losses):
        model = trace.model(t)
        objective = Objective.from_module(model, nn.functional.cross_entropy, (trace.X, trace.y))
        units = torch.stack([flat(n / (n.norm() + 1e-12) for n in p) for p in trace.noise[t]])
        found = objective.losses(objective.theta + trace.hyper["sigma"] * units)
        assert found.tolist() == pytest.approx(expected, rel=0, abs=1e-12)


@pytest.mark.parametrize("name", WALKS)
def test_follows_the_released_code(name: str, trace: Trace, walks: dict[str, Walk]):
    walk = walks[name]
    # The released code rounds its differences to float32, so rho agrees to 1e-6 and no further.
    assert walk.lgi.tolist() == pytest.approx(trace.lgi, rel=1e-6, abs=0)
    assert walk.damping.tolist() == pytest.approx(trace.damping, rel=1e-6, abs=0)
    after = torch.stack([flat(params) for params in trace.params[1:]])
    assert (walk.params - after).abs().max() <= 1e-7
    assert (walk.params[-1] - flat(trace.params[0])).abs().max() > 1e-2  # it did move


@pytest.mark.parametrize("name", [name for name in WALKS if name != "reference"])
def test_agree_among_themselves(name: str, walks: dict[str, Walk]):
    ours, reference = walks[name], walks["reference"]
    for field in ("losses", "lgi", "damping", "params"):
        gap = (getattr(ours, field) - getattr(reference, field)).abs().max().item()
        assert gap <= 1e-12, f"{field}: {gap}"


def test_k1_measures_no_variance():
    walk = walk_reference(load(1))
    assert walk.lgi.tolist() == [0.0] * 6
    assert walk.damping.tolist() == [1.0] * 6
