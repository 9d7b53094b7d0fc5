"""Files that must load: what training scripts really write, and what must come out of each."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from sadam import SAdam
from tests.app.checkpoints.crafting import Stored, archive, floats, pickled, saved, view, zipped


@dataclass(frozen=True)
class Honest:
    """A file that must load.

    Args:
        name: what it is.
        data: its bytes.
        tensors: what must come out: float32, or int64 counters.
        meta: what must be known of it.
        filename: its name.
    """

    name: str
    data: bytes
    tensors: dict[str, Tensor]
    meta: dict[str, Any] = field(default_factory=dict)
    filename: str = "model.pt"


def network() -> nn.Sequential:
    """A small network with buffers, after a few steps, so that its numbers are not round."""
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return model


def trained(make: Callable[..., Any]) -> tuple[nn.Sequential, Any]:
    """The network and its optimizer after two steps on fixed images."""
    model = network()
    optimizer = make(model)
    images = torch.randn(4, 1, 4, 4, generator=torch.Generator().manual_seed(1))

    def closure(backward: bool = True) -> Tensor:
        loss = model(images).square().mean()
        if backward:
            optimizer.zero_grad()
            loss.backward()
        return loss

    with torch.random.fork_rng():
        torch.manual_seed(0)
        for _ in range(2):
            optimizer.step(closure)
    return model, optimizer


def _plain(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k: (v if v.dtype == torch.int64 else v.float()).clone() for k, v in state.items()}


def _wrapped(key: str, optimizer_key: str, make: Callable[..., Any]) -> Honest:
    model, optimizer = trained(make)
    whole = {"epoch": 3, key: model.state_dict(), optimizer_key: optimizer.state_dict()}
    whole |= {"loss": 0.25, "arch": "small", "best": True, "schedule": {"gamma": [0.1, 0.2]}}
    values = {"epoch": 3, "loss": 0.25, "arch": "small", "best": True}
    aside = ["schedule"] if optimizer_key != "sgd" else ["sgd", "schedule"]
    meta = {"wrapper": key, "values": values, "left_aside": aside, "format": "torch"}
    return Honest(f"{key} with {optimizer_key}", saved(whole), _plain(model.state_dict()), meta)


def _casts() -> Honest:
    """Each of the four types that become float32, and a counter."""
    kinds = ("float64", "float32", "float16", "bfloat16", "int64")
    state = {kind: torch.tensor([1 / 3, -7.25, 300.0]).to(getattr(torch, kind)) for kind in kinds}
    state["int64"] = torch.tensor(2**40 + 1)
    return Honest("types", saved(state), _plain(state), {"dtypes": {k: k for k in kinds}})


def _prefixed(prefix: str) -> Honest:
    state = network().state_dict()
    renamed = OrderedDict((prefix + name, value) for name, value in state.items())
    return Honest(prefix, saved({"model": renamed}), _plain(state), {"prefix": prefix})


def _averaged() -> Honest:
    model = AveragedModel(network())
    model.update_parameters(network())
    tensors = {"n_averaged": torch.tensor(1)} | _plain(model.module.state_dict())
    return Honest("AveragedModel", saved(model.state_dict()), tensors, {"prefix": "module."})


def _views() -> Honest:
    base = torch.arange(24.0)
    state = {
        "transposed": base.view(4, 6).t(),
        "slice": base[3:9],
        "every third": base[::3],
        "expanded": torch.tensor([1.5, 2.5]).expand(3, 2),
        "overlapping": base.as_strided((4, 5), (1, 1)),
        "scalar": torch.tensor(2.0),
        "parameter": nn.Parameter(base[:2]),
        "n_averaged": torch.tensor(3),
    }
    state = {name.replace(" ", "_"): value for name, value in state.items()}
    state["tied"] = state["parameter"]
    return Honest("views", saved(state), {k: v.detach().clone() for k, v in state.items()})


def _cuda() -> Honest:
    weight = view(Stored("0", 4, torch.HalfStorage, "cuda:0"), (2, 2), (2, 1))
    values = torch.tensor([[1.0, -2.0], [0.5, 4.0]], dtype=torch.float16)
    data = archive({"state_dict": {"w": weight}}, {"0": values.numpy().tobytes()})
    return Honest("saved on CUDA", data, {"w": values.float()}, {"dtypes": {"w": "float16"}})


def _first_archives() -> Honest:
    """As torch 1.6 wrote them: the file's name as the root, no mark of the byte order."""
    value = pickled({"w": view(Stored("94127", 3), (3,), (1,))})
    records = {"data.pkl": value, "data/94127": floats(3), "version": b"3\n"}
    data = zipped(records, root="checkpoint_12/")
    return Honest("torch 1.6", data, {"w": torch.linspace(-1, 1, 3)}, filename="a.PTH.TAR")


def _beside() -> Honest:
    """Values beside the tensors of a bare state dict."""
    state = {"w": torch.ones(2), "epoch": 7, "note": "naïve"}
    meta = {"values": {"epoch": 7, "note": "na\\xefve"}, "wrapper": None}
    return Honest("bare with values", saved(state), {"w": torch.ones(2)}, meta, "model.ckpt")


def _rounds() -> Honest:
    """Tensors of other kinds beside the network are left aside, not refused."""
    state = {"model": {"w": torch.ones(2)}, "rng": torch.zeros(8, dtype=torch.uint8)}
    state |= {"ema": {"w": torch.ones(2)}, "history": [(0, 0.5), (1, 0.25)], "none": None}
    meta = {"left_aside": ["ema", "history", "rng"], "values": {"none": None}}
    return Honest("more beside it", saved(state), {"w": torch.ones(2)}, meta, "model.bin")


def _safetensors(dtype: torch.dtype, prefix: str = "") -> Honest:
    state = {k: v.clone() for k, v in network().to(dtype).state_dict().items()}
    data = safetensors.torch.save({prefix + k: v for k, v in state.items()}, {"format": "pt"})
    meta = {"format": "safetensors", "prefix": prefix, "wrapper": None}
    name = f"safetensors, {dtype}{', ' + prefix if prefix else ''}"
    return Honest(name, data, _plain(state), meta, "model.safetensors")


def adamw(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=0.02, betas=(0.8, 0.99), weight_decay=0.1)


def adam_in_groups(model: nn.Module) -> torch.optim.Optimizer:
    named = list(model.named_parameters())
    groups = [{"params": named[:2], "weight_decay": 0.0}, {"params": named[2:]}]
    return torch.optim.Adam(groups, lr=0.02, weight_decay=0.1, amsgrad=True)


def sadam(model: nn.Module) -> torch.optim.Optimizer:
    return SAdam(model.parameters(), lr=0.02, weight_decay=0.1)


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)


def honest_files() -> list[Honest]:
    """All of them, made anew."""
    return [
        Honest("bare state dict", saved(network().state_dict()), _plain(network().state_dict())),
        _wrapped("state_dict", "optimizer", adamw),
        _wrapped("model_state_dict", "optimizer_state_dict", sadam),
        _wrapped("model", "optim", adam_in_groups),
        _wrapped("state_dict", "sgd", sgd),
        _casts(),
        _prefixed("_orig_mod.module."),
        _averaged(),
        _views(),
        _cuda(),
        _first_archives(),
        _beside(),
        _rounds(),
        _safetensors(torch.float32),
        _safetensors(torch.float64),
        _safetensors(torch.bfloat16),
        _safetensors(torch.float16, "module._orig_mod."),
    ]


def small_files() -> list[Honest]:
    """One of each format, for tests that change them at random."""
    return [_wrapped("state_dict", "optimizer", adamw), _safetensors(torch.float16)]
