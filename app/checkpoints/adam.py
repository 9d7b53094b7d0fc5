"""Adam's state out of a file: found by its form, checked, and told whose it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.checkpoints.checkpoint import AdamState, Moments
from app.checkpoints.errors import CheckpointError, shown
from app.checkpoints.outline import TensorOutline

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["AdamOutline", "find_adam"]

#: Where training scripts put the optimizer's state dict.
KEYS = ("optimizer", "optimizer_state_dict", "optim")
_STATISTICS = ("running_mean", "running_var")
_WITHOUT = "save the file without the optimizer's state"

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class _Slot:
    name: str | None
    path: Path
    exp_avg: TensorOutline
    step: TensorOutline | int


@dataclass(frozen=True)
class AdamOutline:
    """Adam's state as a file describes it.

    Args:
        key: where it lies in the file.
        slots: place of a parameter -> what is kept of it.
        parameters: how many parameters the optimizer was given.
        settings: lr, betas, eps and weight_decay, each plain or None.
    """

    key: str
    slots: dict[int, _Slot]
    parameters: int
    settings: dict[str, Any]

    def wanted(self) -> dict[Path, TensorOutline]:
        """The tensors to be read, by their paths in the file."""
        found: dict[Path, TensorOutline] = {}
        for slot in self.slots.values():
            found[(*slot.path, "exp_avg")] = slot.exp_avg
            found[(*slot.path, "exp_avg_sq")] = slot.exp_avg
            if isinstance(slot.step, TensorOutline):
                found[(*slot.path, "step")] = slot.step
        return found

    def read(self, tensor: Callable[[Path], Tensor]) -> AdamState:
        """The state, once its tensors are read.

        Args:
            tensor: path -> tensor, for all paths of `wanted`.

        Raises:
            CheckpointError: a count of steps is not a whole number, or a second moment is negative.
        """
        moments = {place: _moments(place, slot, tensor) for place, slot in self.slots.items()}
        return AdamState(moments, self.parameters, **self.settings)


def find_adam(
    top: Mapping[Any, Any], network: Mapping[str, TensorOutline], renamed: Mapping[str, str]
) -> AdamOutline | None:
    """The state of Adam, AdamW or S-Adam in a file; None where there is none or another's.

    Args:
        top: the outermost dictionary of the file.
        network: name in the file -> tensor of the network, in the file's order.
        renamed: name in the file -> name without the prefix.

    Raises:
        CheckpointError: it is Adam's and contradicts itself.
    """
    key = next((k for k in KEYS if isinstance(top.get(k), dict)), None)
    if key is None:
        return None
    state, groups = top[key].get("state"), top[key].get("param_groups")
    if not isinstance(state, dict) or not _is_groups(groups):
        return None
    if not state or not all(isinstance(s, dict) and {*_KEPT} <= set(s) for s in state.values()):
        return None
    order = [parameter for group in groups for parameter in group["params"]]
    if len(set(order)) < len(order) or not set(state) <= set(order):
        raise CheckpointError(
            "the optimizer's state and its parameter groups name different parameters",
            "each parameter once, and state of those alone",
            _WITHOUT,
        )
    names = _names(order, state, network, renamed)
    slots = {
        place: _slot(names[place], (key, "state", parameter), state[parameter])
        for place, parameter in enumerate(order)
        if parameter in state
    }
    return AdamOutline(key, slots, len(order), _settings(groups))


_KEPT = ("exp_avg", "exp_avg_sq", "step")


def _is_groups(groups: Any) -> bool:
    return isinstance(groups, list) and all(
        isinstance(group, dict)
        and isinstance(group.get("params"), list)
        and all(isinstance(p, int | str) for p in group["params"])
        for group in groups
    )


def _slot(name: str | None, path: Path, kept: Mapping[str, Any]) -> _Slot:
    first, second, step = (kept[key] for key in _KEPT)
    whose = f"the optimizer's state of parameter {shown(path[-1])}"
    both = isinstance(first, TensorOutline) and isinstance(second, TensorOutline)
    if not both or (first.dtype, first.shape) != (second.dtype, second.shape):
        raise CheckpointError(
            f"{whose} has moments that differ in type or shape",
            "exp_avg and exp_avg_sq shaped like the parameter",
            _WITHOUT,
        )
    if "float" not in first.dtype or 0 in first.shape:
        raise CheckpointError(
            f"{whose} has moments of type {first.dtype} and shape {shown(first.shape)}",
            "floating point numbers, at least one",
            _WITHOUT,
        )
    if isinstance(step, TensorOutline):
        counts = step.shape == () and step.dtype in ("float32", "int64")
    else:
        counts = isinstance(step, int | float) and math.isfinite(step) and step == int(step) >= 0
    if not counts:
        raise CheckpointError(f"{whose} has no count of steps", "a whole number >= 0", _WITHOUT)
    return _Slot(name, path, first, step if isinstance(step, TensorOutline) else int(step))


def _names(
    order: list[int | str],
    state: Mapping[Any, Mapping[str, Any]],
    network: Mapping[str, TensorOutline],
    renamed: Mapping[str, str],
) -> list[str | None]:
    """Whose each parameter is: by its own name, or by its place where all shapes agree."""
    if all(isinstance(parameter, str) for parameter in order):
        return [renamed.get(str(p), str(p) if p in renamed.values() else None) for p in order]
    floats = [
        (name, tensor.shape)
        for name, tensor in network.items()
        if "float" in tensor.dtype and not name.endswith(_STATISTICS)
    ]
    shapes = [getattr(state.get(p, {}).get("exp_avg"), "shape", None) for p in order]
    agree = len(floats) == len(order) and all(
        kept in (None, shape) for kept, (_, shape) in zip(shapes, floats, strict=True)
    )
    return [renamed[name] for name, _ in floats] if agree else [None] * len(order)


def _settings(groups: list[dict[str, Any]]) -> dict[str, Any]:
    def agreed(name: str) -> Any:
        first = groups[0].get(name)
        return first if all(group.get(name) == first for group in groups) else None

    found: dict[str, Any] = {name: _plain(agreed(name)) for name in ("lr", "eps", "weight_decay")}
    betas = agreed("betas")
    pair = isinstance(betas, tuple | list) and len(betas) == 2
    numbers = [_plain(beta) for beta in betas] if pair else [None]
    return found | {"betas": None if None in numbers else tuple(numbers)}


def _plain(value: Any) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and math.isfinite(value) else None


def _moments(place: int, slot: _Slot, tensor: Callable[[Path], Tensor]) -> Moments:
    first, second = tensor((*slot.path, "exp_avg")), tensor((*slot.path, "exp_avg_sq"))
    counted = slot.step
    if isinstance(counted, TensorOutline):
        counted = tensor((*slot.path, "step")).item()
    if counted != int(counted) or counted < 0:
        raise CheckpointError(
            f"the optimizer took {counted:.4g} steps for parameter {place}",
            "a whole number >= 0",
            _WITHOUT,
        )
    if (second < 0).any():
        raise CheckpointError(
            f"the optimizer's exp_avg_sq of parameter {place} is negative somewhere",
            "means of squares, >= 0",
            _WITHOUT,
        )
    return Moments(slot.name, first, second, int(counted))
