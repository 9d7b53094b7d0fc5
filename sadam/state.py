"""States that outlive a process: flat dictionaries of tensors, numbers and text, checked when read.

Everything in them passes through `torch.save` and `torch.load(weights_only=True)`, and through
`numpy.savez` and `numpy.load(allow_pickle=False)`. Numpy arrays themselves would not do: torch
refuses to load them with weights_only.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sadam.settings import Settings

__all__ = ["State", "check_same", "number_in", "settings_in", "settings_state", "tensor_in"]

#: name -> Tensor, int, float or str; after numpy.load also arrays in their place.
State = Mapping[str, Any]


def tensor_in(
    state: State, name: str, *, shape: tuple[int | None, ...], dtype: torch.dtype | None = None
) -> Tensor:
    """A tensor of a state, as a copy on the CPU.

    Args:
        state: what `state()` gave.
        name: its key.
        shape: expected; None fits any length.
        dtype: expected, since another one could not continue bit for bit; None takes any.

    Raises:
        ValueError: it is missing, or of another shape or dtype.
    """
    value = _value_in(state, name)
    found = value.detach().cpu().clone() if isinstance(value, Tensor) else _tensor(name, value)
    fits = len(found.shape) == len(shape) and all(
        b is None or a == b for a, b in zip(found.shape, shape, strict=True)
    )
    if not fits or dtype not in (None, found.dtype):
        expected = f"({', '.join('any' if b is None else str(b) for b in shape)})"
        raise ValueError(
            f"the state's {name} has shape {tuple(found.shape)} and {found.dtype}; expected shape "
            f"{expected}{'' if dtype is None else f' and {dtype}'}: restore it into an object that "
            "was built with the same arguments."
        )
    return found


def number_in(state: State, name: str, lowest: int = 0) -> int:
    """A whole number of a state.

    Raises:
        ValueError: it is missing, not a whole number, or below `lowest`.
    """
    value = _value_in(state, name)
    if isinstance(value, Tensor | np.ndarray | np.integer) and np.ndim(value) == 0:
        value = value.item()
    if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
        raise ValueError(
            f"the state's {name} is {value!r}; expected a whole number of at least {lowest}: "
            "make the state anew."
        )
    return value


def check_same(state: State, expected: Mapping[str, int | str]) -> None:
    """Hold what a state says of its owner's arguments to the arguments of who restores it.

    Raises:
        ValueError: the first of them that is missing or differs.
    """
    for name, ours in expected.items():
        value = _value_in(state, name)
        found = str(value) if isinstance(ours, str) else number_in(state, name)
        if found != ours:
            raise ValueError(
                f"the state is one of {name} {found} and this is one of {name} {ours}; restore it "
                "into an object that was built with the same arguments."
            )


def settings_state(settings: Settings) -> dict[str, int | float | str]:
    """Settings as part of a state: the betas apart, pairs as JSON and None as 0, for numpy."""
    values = asdict(settings)
    values["beta1"], values["beta2"] = values.pop("betas")
    values["lane_lr"] = json.dumps(values["lane_lr"])
    values["total_steps"] = values["total_steps"] or 0
    return {f"settings.{name}": value for name, value in values.items()}


def settings_in(state: State) -> Settings:
    """The settings of a state, held to the same ranges as all settings.

    Raises:
        ValueError: one is missing or out of its range.
    """
    names = [field.name for field in fields(Settings) if field.name != "betas"]
    values = {name: _value_in(state, f"settings.{name}") for name in (*names, "beta1", "beta2")}
    plain = {
        n: v.item() if isinstance(v, np.ndarray | np.generic) else v for n, v in values.items()
    }
    try:
        plain["lane_lr"] = json.loads(plain["lane_lr"])
    except (TypeError, ValueError):
        raise ValueError(
            f"the state's settings.lane_lr is {plain['lane_lr']!r}; expected pairs as JSON: make "
            "the state anew."
        ) from None
    plain["total_steps"] = plain["total_steps"] or None
    return Settings(betas=(plain.pop("beta1"), plain.pop("beta2")), **plain)


def _value_in(state: State, name: str) -> Any:
    if name not in state:
        raise ValueError(
            f"the state holds no {name!r}; give what state() of this version returned, or begin "
            "anew."
        )
    return state[name]


def _tensor(name: str, value: Any) -> Tensor:
    try:
        return torch.tensor(np.asarray(value))
    except TypeError:
        raise ValueError(
            f"the state's {name} is a {type(value).__name__}; expected a tensor: make the state "
            "anew."
        ) from None
