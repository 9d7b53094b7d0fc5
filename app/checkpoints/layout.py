"""Gate 4: which of a file's tensors are the network, and whether all of them may be touched.

Everything here is decided on descriptions, before a single number of a tensor is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

from app.checkpoints.errors import SAVE_AGAIN, CheckpointError, shown
from app.checkpoints.limits import MB, NAME_LENGTH, TENSOR_BYTES, TENSORS
from app.checkpoints.outline import TensorOutline

__all__ = ["Described", "Found", "check_bytes", "check_network", "find_network", "prefix_of"]

#: Where training scripts put the state dict, in the order of trying.
WRAPPERS = ("state_dict", "model_state_dict", "model")
#: What DistributedDataParallel, DataParallel, AveragedModel and torch.compile put before a name.
PREFIXES = ("module.", "_orig_mod.")
_FLOATS = ("float32", "float64", "float16", "bfloat16")
_UNWRAPPED = "n_averaged"  # AveragedModel's counter stands beside the module that it wraps
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_TEXT = 200  # characters kept of a plain text, and plain values kept at all


class Described(Protocol):
    """A tensor as a file describes it."""

    @property
    def dtype(self) -> str:
        """torch's name of its type."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Its sizes."""
        ...


@dataclass(frozen=True)
class Found:
    """The network of a torch.save file.

    Args:
        wrapper: the key above the state dict; None for a bare one.
        tensors: name in the file -> its description.
        values: the plain values beside it.
        left_aside: the other keys beside it.
    """

    wrapper: str | None
    tensors: dict[str, TensorOutline]
    values: dict[str, Any]
    left_aside: list[str]


def find_network(top: Any) -> Found:
    """The state dict of a file: under one of the wrappers' keys, or the whole file.

    Args:
        top: the outermost value of the pickle, as `outline` gives it.

    Raises:
        CheckpointError: there is none, or it holds something else than tensors.
    """
    if not isinstance(top, dict):
        kind = "tensor" if isinstance(top, TensorOutline) else type(top).__name__
        raise CheckpointError(
            f"the file holds a {kind}", "a state dict: names with tensors", SAVE_AGAIN
        )
    wrapper = next((key for key in WRAPPERS if isinstance(top.get(key), dict)), None)
    inside = top if wrapper is None else top[wrapper]
    tensors = {key: v for key, v in inside.items() if isinstance(v, TensorOutline)}
    if not tensors:
        keys = ", ".join(shown(key) for key in list(inside)[:10]) or "nothing"
        raise CheckpointError(
            f"the file holds no tensors where a state dict is looked for; it holds {keys}",
            f"a state dict alone, or under {', '.join(WRAPPERS)}",
            SAVE_AGAIN,
        )
    for key, value in inside.items():
        if isinstance(value, dict | list | tuple):
            raise CheckpointError(
                f"the file holds a {type(value).__name__.lower().strip('_')} under {shown(key)} "
                "beside the tensors of the state dict",
                "names with tensors",
                SAVE_AGAIN,
            )
    beside = inside if wrapper is None else {k: v for k, v in top.items() if k != wrapper}
    plain = {k: v for k, v in beside.items() if isinstance(v, bool | int | float | str | None)}
    left = [k for k, v in beside.items() if isinstance(v, dict | list | tuple)]
    if wrapper is not None:
        left += [k for k, v in beside.items() if isinstance(v, TensorOutline)]
    return Found(
        wrapper,
        tensors,
        {_clean(k): _clean(v) for k, v in list(plain.items())[:_TEXT]},
        [str(_clean(k)) for k in left[:_TEXT]],
    )


def check_network(tensors: Mapping[Any, Described]) -> None:
    """Hold the names, the types and the shapes of a network's tensors to what can be used.

    Raises:
        CheckpointError: names the first tensor that can't.
    """
    if not tensors:
        raise CheckpointError("the file holds no tensors", "a network's weights", SAVE_AGAIN)
    if len(tensors) > TENSORS:
        raise CheckpointError(
            f"the network has {len(tensors)} tensors",
            f"at most {TENSORS}",
            "save the part of it that you want to look at, as a state dict of its own",
        )
    for name, tensor in tensors.items():
        _check_name(name)
        _check_tensor(name, tensor)
    check_bytes(tensors.values())


def check_bytes(tensors: Iterable[Described]) -> None:
    """Bound what all tensors together take once they are float32.

    Raises:
        CheckpointError: views and expanded tensors claim more than 128 MB.
    """
    claimed = sum(prod(t.shape) * (8 if t.dtype == "int64" else 4) for t in tensors)
    if claimed > TENSOR_BYTES:
        raise CheckpointError(
            f"the file's tensors claim {claimed / MB:.0f} MB as float32",
            f"at most {TENSOR_BYTES // MB} MB",
            "save the weights without optimizer state and without expanded copies",
        )


def prefix_of(names: Collection[str]) -> str:
    """What wrappers put before every name, such as "module." or "_orig_mod.module."."""
    rest = [name for name in names if name != _UNWRAPPED]
    prefix = ""
    while rest:
        more = next((p for p in PREFIXES if all(n.startswith(prefix + p) for n in rest)), None)
        if more is None or any(len(name) == len(prefix + more) for name in rest):
            break
        prefix += more
    return prefix


def _check_name(name: Any) -> None:
    if not isinstance(name, str):
        raise CheckpointError(
            f"the file names a tensor with the {type(name).__name__} {shown(name)}",
            "text as the names of a state dict",
            SAVE_AGAIN,
        )
    if len(name) > NAME_LENGTH or not _NAME.fullmatch(name):
        length = f" of {len(name)} characters" if len(name) > NAME_LENGTH else ""
        raise CheckpointError(
            f"the file names a tensor {shown(name)}{length}",
            f"letters, digits, '_', '-' and '.', at most {NAME_LENGTH} of them",
            "rename it in the state dict and save it again",
        )


def _check_tensor(name: str, tensor: Described) -> None:
    what = f"the tensor {shown(name)}"
    if tensor.dtype not in _FLOATS and (tensor.dtype != "int64" or tensor.shape):
        raise CheckpointError(
            f"{what} has shape {shown(tensor.shape)} and type {tensor.dtype}",
            f"{', '.join(_FLOATS)}, or int64 for a scalar counter",
            "cast it with tensor.float(), or leave it out, and save the file again",
        )
    if 0 in tensor.shape:
        raise CheckpointError(
            f"{what} has shape {shown(tensor.shape)} and so holds nothing",
            "at least one number in a tensor",
            "leave it out and save the file again",
        )


def _clean(value: Any) -> Any:
    """A plain value of a file for a person to read: text cut to 200 characters of ASCII."""
    if not isinstance(value, str):
        return value
    return value[:_TEXT].encode("ascii", "backslashreplace").decode("ascii")[:_TEXT]
