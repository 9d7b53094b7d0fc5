"""Training: an S-Adam step beside torch's AdamW, and stacked runs beside single loops."""

import pytest
import torch
from torch import nn

from probes import Objective
from sadam import SAdam
from sadam.batches import Batches
from sadam.ensemble import Ensemble
from sadam.lanes import LANES
from sadam.settings import Settings

from .work import cross_entropy, digits, mlp

STEPS = 20  # a round, so that one takes tens of milliseconds
RUNS = 32


def adamw_steps(batch):
    module = mlp()
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3)

    def steps():
        for _ in range(STEPS):
            optimizer.zero_grad()
            cross_entropy(module(batch[0]), batch[1]).backward()
            optimizer.step()

    return steps


def sadam_steps(batch, k, *, with_module):
    module = mlp()
    optimizer = SAdam(module.parameters(), k_directions=k, module=module if with_module else None)

    def closure(backward=True):
        loss = cross_entropy(module(batch[0]), batch[1])
        if backward:
            optimizer.zero_grad()
            loss.backward()
        return loss

    def steps():
        for _ in range(STEPS):
            optimizer.step(closure)

    return steps


@pytest.mark.parametrize("with_module", [False, True])
@pytest.mark.parametrize(("k", "bound"), [(2, 1.6), (8, 3.0), (32, 10.0)])
def test_sadam_step(k, bound, with_module, figure):
    inputs, classes = digits()
    batch = inputs[:128], classes[:128]
    variants = {
        "S-Adam": sadam_steps(batch, k, with_module=with_module),
        "AdamW": adamw_steps(batch),
    }
    name = f"S-Adam step / torch AdamW, k {k}{', module=' if with_module else ''}"
    figure(name, variants, rounds=15, bound=bound)


@pytest.mark.parametrize(("size", "bound"), [(128, 1.5), (8, 2.5)])
def test_ensemble(size, bound, figure):
    """Steps a second of 32 AdamW runs in lockstep over those of torch's AdamW, run by run."""
    inputs, classes = digits()
    module = mlp()
    objective = Objective.from_module(module, cross_entropy, (inputs[:512], classes[:512]))
    ensemble = Ensemble(
        objective,
        [LANES["adamw"]],
        seeds=range(RUNS),
        initial=nn.utils.parameters_to_vector(module.parameters()).detach().expand(RUNS, -1),
        batches=Batches(inputs, classes, size, range(RUNS)),
        settings=Settings(),
    )
    single = adamw_steps((inputs[:size], classes[:size]))

    def stacked():
        for _ in range(STEPS):
            ensemble.step()

    def one_by_one():
        for _ in range(RUNS):
            single()

    name = f"{RUNS} runs stacked, run-steps/s / single loops, batch {size}"
    variants = {"stacked": stacked, "single loops": one_by_one}
    figure(name, variants, rounds=5, bound=bound, at_least=True)
