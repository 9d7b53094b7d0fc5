"""Networks and files that the report's tests share."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import pairwise

import torch
from safetensors.torch import save
from torch import Tensor, nn

from app.checkpoints import Checkpoint, read_checkpoint
from app.experiment import Experiment
from app.live.run import Run
from app.report.findings import Report
from app.report.measure import inspect
from app.report.network import Network
from app.report.networks import networks_of
from app.report.samples import best_fit, samples_of

TINY = (2, 5, 4, 3)


def trained(scenario: str, steps: int) -> Run:
    """The lab's own run of AdamW alone."""
    run = Run(Experiment().change(scenario=scenario).change(lanes=("adamw",)))
    for _ in range(steps):
        run.advance()
        run.record()
    return run


def module_of(run: Run) -> nn.Module:
    """The run's network as its first lane has it."""
    module = run.problem.network(0)
    nn.utils.vector_to_parameters(run.ensemble.theta[0], module.parameters())
    return module


def with_adam(module: nn.Module, batch: tuple[Tensor, Tensor], steps: int = 3) -> dict[str, object]:
    """A training script's file: the weights after some steps of AdamW, and its state."""
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(batch[0]), batch[1]).backward()
        optimizer.step()
    return {
        "model_state_dict": module.state_dict(),
        "optimizer_state_dict": optimizer.state_dict(),
        "epoch": 3,
    }


def torch_file(content: object) -> bytes:
    """What torch.save writes."""
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def safe_checkpoint(tensors: dict[str, Tensor]) -> Checkpoint:
    """A state dict through a safetensors file and the reader."""
    plain = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    return read_checkpoint(save(plain), "model.safetensors")


def tiny(seed: int = 0, widths: tuple[int, ...] = TINY) -> nn.Sequential:
    """A plain MLP with ReLU, its weights from a generator of its own."""
    generator = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    module = nn.Sequential(*layers[:-1])
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0.0, 0.7, generator=generator)
    return module


def network_of(checkpoint: Checkpoint, key: str | None = None) -> Network:
    """The network with a key, or the first one."""
    found = networks_of(checkpoint.tensors)
    return next(network for network in found if key in (None, network.key))


def reports(checkpoint: Checkpoint, key: str | None = None) -> Iterator[Report]:
    """The reports of a file, of the network with this key or the likeliest."""
    if key is None:
        network, samples, chosen = best_fit(
            networks_of(checkpoint.tensors, values=checkpoint.meta["values"])
        )
        return inspect(checkpoint, "model.pt", network, samples, chosen=chosen)
    network = network_of(checkpoint, key)
    return inspect(checkpoint, "model.pt", network, samples_of(network))
