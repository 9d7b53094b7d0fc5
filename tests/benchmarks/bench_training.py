"""Training: an S-Adam step beside torch's AdamW, and stacked runs beside single loops."""

import pytest
import torch
from torch import nn

from probes import Objective
from sadam import SAdam
from sadam.batches import Batches
from sadam.ensemble import Ensemble
from sadam.lanes import DEFAULT_LANES, LANES
from sadam.settings import Settings

from .work import cross_entropy, digits, mlp

STEPS = 20  # a round, so that one takes tens of milliseconds
RUNS = 32
# Only what a run needs to train; what is recorded beside it is a figure of its own.
ALONE = {"observe": False}


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


def adamw_runs(size, **options):
    """AdamW runs in lockstep on mini-batches of this size, with a probe set of 512."""
    inputs, classes = digits()
    module = mlp()
    return Ensemble(
        Objective.from_module(module, cross_entropy, (inputs[:512], classes[:512])),
        [LANES["adamw"]],
        seeds=range(RUNS),
        initial=nn.utils.parameters_to_vector(module.parameters()).detach().expand(RUNS, -1),
        batches=Batches(inputs, classes, size, range(RUNS)),
        settings=Settings(lr=1e-3),
        **options,
    )


def steps_of(ensemble, *, forwards=False):
    """Its steps; on demand with the forward passes that a record asks for, their losses unused."""

    def steps():
        for _ in range(STEPS):
            last_batch = ensemble.batch
            ensemble.step()
            if forwards:
                ensemble.objective.losses(ensemble.theta)
                ensemble._stacked.losses(
                    ensemble._by_lane(ensemble.theta), last_batch, shared=False
                )

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
    figure(name, variants, rounds=15, bound=None if with_module else bound)


@pytest.mark.parametrize(("size", "bound"), [(128, 1.5), (8, 2.5)])
def test_ensemble(size, bound, figure):
    """Steps a second of 32 AdamW runs in lockstep over those of torch's AdamW, run by run."""
    inputs, classes = digits()
    single = adamw_steps((inputs[:size], classes[:size]))

    def one_by_one():
        for _ in range(RUNS):
            single()

    name = f"{RUNS} runs stacked, run-steps/s / single loops, batch {size}"
    variants = {"stacked": steps_of(adamw_runs(size, **ALONE)), "single loops": one_by_one}
    figure(name, variants, rounds=5, bound=bound, at_least=True)


@pytest.mark.parametrize("size", [128, 8])
def test_what_recording_costs(size, figure):
    """A recorded step over one that is not, but for the forward passes that the record asks for.

    These are the loss on the probe set and on the batch before.
    """
    variants = {
        "recorded": steps_of(adamw_runs(size)),
        "not": steps_of(adamw_runs(size, **ALONE), forwards=True),
    }
    figure(f"{RUNS} runs, recorded / not, batch {size}", variants, rounds=5, bound=1.1)


def test_what_recording_costs_where_every_step_sees_the_probe_set(figure):
    """The live page's case: one full batch, a few runs, and no forward pass only for the record."""

    def steps(**options):
        inputs, classes = digits()
        batch, module = (inputs[:512], classes[:512]), mlp()
        ensemble = Ensemble(
            Objective.from_module(module, cross_entropy, batch),
            [LANES[key] for key in DEFAULT_LANES],
            seeds=[0],
            initial=nn.utils.parameters_to_vector(module.parameters()).detach()[None],
            batches=Batches(*batch, 512, [0]),
            settings=Settings(lr=1e-3),
            **options,
        )
        return steps_of(ensemble)

    variants = {"recorded": steps(), "not": steps(**ALONE)}
    figure("3 lanes, recorded / not, full batch 512", variants, rounds=9, bound=1.1)
