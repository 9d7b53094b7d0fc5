"""Results as nested dicts of tensors, numbers and text, which `torch.load` reads without code."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from app.live.view import Ahead, Maps
from probes import Plane, StepLine
from probes.instability import InstabilityMap
from probes.planes import Fidelity
from probes.slices import Slice

#: What may be packed; anything else in a file is refused.
TYPES = {
    kind.__name__: kind for kind in (Ahead, Fidelity, InstabilityMap, Maps, Plane, Slice, StepLine)
}
_KIND, _ARRAY = "__kind__", "__array__"


def packed(value: Any) -> Any:
    """Turn results into plain nested dicts.

    Args:
        value: one of `TYPES`, a dict or tuple of such, an array, a tensor, a number, text or None.
    """
    if is_dataclass(value) and type(value).__name__ in TYPES:
        content = {field.name: packed(getattr(value, field.name)) for field in fields(value)}
        return {_KIND: type(value).__name__} | content
    if isinstance(value, dict):
        return {key: packed(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [packed(item) for item in value]
    if isinstance(value, np.ndarray):
        return {_ARRAY: torch.tensor(value)}
    if value is None or isinstance(value, Tensor | bool | int | float | str):
        return value
    raise TypeError(f"{type(value).__name__} cannot be packed; expected one of {', '.join(TYPES)}.")


def unpacked(value: Any) -> Any:
    """The results that `packed` made these dicts of.

    Raises:
        ValueError: it names a type that is not among `TYPES`, or its fields do not fit.
    """
    if isinstance(value, list):
        return tuple(unpacked(item) for item in value)
    if not isinstance(value, dict):
        return value
    if _ARRAY in value:
        return value[_ARRAY].numpy()
    content = {key: unpacked(item) for key, item in value.items() if key != _KIND}
    if _KIND not in value:
        return content
    try:
        return TYPES[value[_KIND]](**content)
    except (KeyError, TypeError) as error:
        kind = ascii(value[_KIND])[:60]
        raise ValueError(f"the file holds {kind}, which does not fit.") from error
