"""On an NVIDIA GPU training gives what it gives on a CPU, and a step waits for nothing."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from probes import Objective
from sadam import SAdam
from sadam.batches import Batches
from sadam.ensemble import Ensemble
from sadam.lanes import DEFAULT_LANES, LANES
from sadam.settings import Settings

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="cuda: no NVIDIA GPU here"),
]

cross_entropy = nn.functional.cross_entropy
STEPS, K = 6, 3


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return nn.Sequential(nn.Linear(5, 8), nn.GELU(), nn.Linear(8, 3)).double()


def samples() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(24, 5, generator=generator, dtype=torch.float64)
    return inputs, torch.randint(0, 3, (24,), generator=generator)


def optimizer_and_closure(device: str, module: nn.Module):
    module = copy.deepcopy(module).to(device)
    inputs, classes = (part.to(device) for part in samples())
    optimizer = SAdam(module.parameters(), lr=0.01, k_directions=K)

    def closure(backward):
        loss = cross_entropy(module(inputs), classes)
        if backward:
            optimizer.zero_grad()
            loss.backward()
        return loss

    return module, optimizer, closure


@contextmanager
def no_waiting() -> Iterator[None]:
    """Whatever waits for the GPU inside is an error."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_steps_agree_with_a_cpu():
    start = network()
    here, there = (optimizer_and_closure(device, start) for device in ("cpu", "cuda"))
    generator = torch.Generator().manual_seed(1)
    for _ in range(STEPS):
        draws = [
            [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in start.parameters()]
            for _ in range(K)
        ]
        here[1].step(here[2], draws)
        there[1].step(there[2], [[draw.cuda() for draw in own] for own in draws])
    assert there[1].lgi_history == pytest.approx(here[1].lgi_history, rel=1e-7)
    assert there[1].damping_history == pytest.approx(here[1].damping_history, rel=1e-7)
    for p, q in zip(here[0].parameters(), there[0].parameters(), strict=True):
        torch.testing.assert_close(q.cpu(), p, rtol=1e-9, atol=1e-11)


def test_a_step_never_waits_for_the_gpu():
    module, optimizer, closure = optimizer_and_closure("cuda", network())
    optimizer.step(closure)  # state and buffers are made at the first
    with no_waiting():
        for _ in range(STEPS):
            optimizer.step(closure)
    assert len(optimizer.lgi_history) == STEPS + 1
    assert all(p.isfinite().all() for p in module.parameters())


def test_waiting_would_be_noticed():
    loss = torch.ones((), device="cuda")
    with pytest.raises(RuntimeError, match="synchroniz"), no_waiting():
        loss.item()


def test_an_ensemble_agrees_with_a_cpu():
    def trained(device: str) -> Ensemble:
        module, seeds = network().to(device), [0, 1]
        data = tuple(part.to(device) for part in samples())
        initial = nn.utils.parameters_to_vector(module.parameters()).detach().expand(2, -1)
        ensemble = Ensemble(
            Objective.from_module(module, cross_entropy, data),
            [LANES[key] for key in DEFAULT_LANES],
            seeds=seeds,
            initial=initial,
            batches=Batches(*data, 8, seeds),
            settings=Settings(lr=0.01, k_directions=K),
        )
        for _ in range(STEPS):
            ensemble.step()
        return ensemble

    here, there = trained("cpu"), trained("cuda")
    assert there.theta.is_cuda
    torch.testing.assert_close(there.theta.cpu(), here.theta, rtol=1e-8, atol=1e-10)
    for name in ("loss", "probe_loss", "lgi", "damping", "gradient_norm"):
        found, expected = getattr(there.record, name).cpu(), getattr(here.record, name)
        torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-10, equal_nan=True)
