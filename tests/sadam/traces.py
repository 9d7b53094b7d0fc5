"""The released code's traces, and the three ways of ours to walk through one."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from probes.objective import Objective
from sadam import LANES, Batches, Ensemble, SAdam, Settings
from sadam.reference import reference_sadam

GOLDEN = Path(__file__).parent / "golden"


@dataclass(frozen=True)
class Trace:
    hyper: dict
    sizes: list[int]
    X: Tensor
    y: Tensor
    losses: list[float]
    probe_losses: list[list[float]]
    lgi: list[float]
    damping: list[float]
    gradients: list[list[Tensor]]  # [t][parameter]
    noise: list[list[list[Tensor]]]  # [t][probe][parameter]
    params: list[list[Tensor]]  # [t][parameter], one more than steps

    def model(self, t: int = 0) -> nn.Sequential:
        """The network with the trace's parameters before step t."""
        layers: list[nn.Module] = []
        for a, b in zip(self.sizes, self.sizes[1:], strict=False):
            layers += [nn.Linear(a, b), nn.ReLU()]
        model = nn.Sequential(*layers[:-1]).double()
        with torch.no_grad():
            for p, value in zip(model.parameters(), self.params[t], strict=True):
                p.copy_(value)
        return model


@dataclass(frozen=True)
class Walk:
    """What a run saw: losses, lgi and damping of each step, and the parameters after it."""

    losses: Tensor  # (T,)
    lgi: Tensor  # (T,)
    damping: Tensor  # (T,)
    params: Tensor  # (T, P)


def load(k: int) -> Trace:
    raw = json.loads((GOLDEN / f"trace_k{k}.json").read_text())
    steps = raw["steps"]

    def tensors(named: dict) -> list[Tensor]:
        return [torch.tensor(value, dtype=torch.float64) for value in named.values()]

    return Trace(
        hyper=raw["hyper"],
        sizes=raw["model"]["sizes"],
        X=torch.tensor(raw["X"], dtype=torch.float64),
        y=torch.tensor(raw["y"]),
        losses=[step["loss"] for step in steps],
        probe_losses=[step["probe_losses"] for step in steps],
        lgi=[step["lgi"] for step in steps],
        damping=[step["damping"] for step in steps],
        gradients=[tensors(step["grad"]) for step in steps],
        noise=[[tensors(probe) for probe in step["noise"]] for step in steps],
        params=[tensors(params) for params in raw["params"]],
    )


def flat(tensors) -> Tensor:
    return torch.cat([t.detach().reshape(-1) for t in tensors])


def closure_of(model: nn.Module, trace: Trace, optimizer: SAdam):
    def closure(backward: bool) -> Tensor:
        loss = nn.functional.cross_entropy(model(trace.X), trace.y)
        if backward:
            optimizer.zero_grad()
            loss.backward()
        return loss

    return closure


def walk_optimizer(trace: Trace, *, batched: bool) -> Walk:
    model = trace.model()
    hyper = trace.hyper | {"betas": tuple(trace.hyper["betas"])}
    optimizer = SAdam(model.parameters(), **hyper, module=model if batched else None)
    optimizer._probe.at_once = batched
    losses, params = [], []
    for noise in trace.noise:
        losses.append(optimizer.step(closure_of(model, trace, optimizer), directions=noise))
        params.append(flat(model.parameters()))
    return Walk(
        torch.stack(losses),
        torch.tensor(optimizer.lgi_history, dtype=torch.float64),
        torch.tensor(optimizer.damping_history, dtype=torch.float64),
        torch.stack(params),
    )


def walk_reference(trace: Trace) -> Walk:
    model = trace.model()
    names = [name for name, _ in model.named_parameters()]
    theta = [p.detach().clone() for p in model.parameters()]

    def loss(values: list[Tensor], t: int) -> Tensor:
        state = dict(zip(names, values, strict=True))
        return nn.functional.cross_entropy(
            torch.func.functional_call(model, state, (trace.X,)), trace.y
        )

    hyper = {name: value for name, value in trace.hyper.items() if name != "k_directions"}
    steps, params = [], []
    for step in reference_sadam(loss, theta, trace.noise, **hyper):
        steps.append(step)
        params.append(flat(theta))
    seen = [[getattr(s, name) for s in steps] for name in ("loss", "lgi", "damping")]
    return Walk(*torch.tensor(seen, dtype=torch.float64), torch.stack(params))


def walk_ensemble(trace: Trace) -> Walk:
    model = trace.model()
    objective = Objective.from_module(model, nn.functional.cross_entropy, (trace.X, trace.y))
    noise = torch.stack([torch.stack([flat(probe) for probe in step]) for step in trace.noise])
    ensemble = Ensemble(
        objective,
        [LANES["sadam"]],
        seeds=[0],
        initial=objective.theta[None],
        batches=Batches(trace.X, trace.y, len(trace.X), [0]),
        settings=Settings(**trace.hyper),
        draw=lambda t: noise[min(t, len(noise) - 1)][None],
    )
    records, params = [], []
    for _ in trace.noise:
        records.append(ensemble.record)
        ensemble.step()
        params.append(ensemble.theta[0])
    seen = [torch.cat([getattr(r, name) for r in records]) for name in ("loss", "lgi", "damping")]
    return Walk(*seen, torch.stack(params))
