"""The safetensors format: the header checked first, then the tensors, with no library in between.

A safetensors file is a table of names, types, shapes and places, and then nothing but numbers.
Reading it calls nothing that the file chooses, so it needs no process of its own: what comes back
from one (gate 3) is of this format too, and this is the one way into the app.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Any, NoReturn

from app.checkpoints.errors import CheckpointError, shown
from app.checkpoints.limits import DIMS, FILE_TENSORS, HEADER_BYTES, MB

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Entry", "read_entries", "read_tensor"]

#: Type as the format writes it -> torch's name and bytes of one number.
_TYPES = {
    "F64": ("float64", 8),
    "F32": ("float32", 4),
    "F16": ("float16", 2),
    "BF16": ("bfloat16", 2),
    "I64": ("int64", 8),
    "I32": ("int32", 4),
    "I16": ("int16", 2),
    "I8": ("int8", 1),
    "U8": ("uint8", 1),
    "BOOL": ("bool", 1),
}


@dataclass(frozen=True)
class Entry:
    """A tensor of a safetensors file.

    Args:
        dtype: torch's name of it.
        shape: sizes, at most 8.
        begin: its first byte in the file.
        end: the byte behind its last.
    """

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def read_entries(data: bytes | memoryview) -> dict[str, Entry]:
    """The tensors that a safetensors file lists, in the order of its header.

    Args:
        data: the whole file.

    Raises:
        CheckpointError: the header is larger than 1 MB, names one thing twice, or does not lay the
            tensors out one after the other, without gaps, to the last byte.
    """
    start = 8 + int.from_bytes(data[:8], "little")
    if start - 8 > HEADER_BYTES:
        _refuse(f"claims {(start - 8) / MB:.3g} MB", f"at most {HEADER_BYTES // MB} MB")
    if len(data) < max(start, 10):
        _refuse("is cut off", "a whole one")
    try:
        header = json.loads(bytes(data[8:start]), object_pairs_hook=_object, parse_constant=_number)
    except CheckpointError:
        raise
    except (ValueError, RecursionError) as error:
        _refuse("is no JSON", "the JSON that safetensors writes", error)
    if not isinstance(header, dict):
        _refuse("is no table", "names with types, shapes and places")
    header.pop("__metadata__", None)
    if len(header) > FILE_TENSORS:
        _refuse(f"lists {len(header)} tensors", f"at most {FILE_TENSORS}")
    entries = {name: _entry(name, value, start) for name, value in header.items()}
    _check_layout(entries, start, len(data))
    return entries


def read_tensor(data: bytes | memoryview, entry: Entry) -> Tensor:
    """A copy of a tensor, as float32, or as int64 where the file holds that."""
    import torch

    raw = bytearray(memoryview(data)[entry.begin : entry.end])
    tensor = torch.frombuffer(raw, dtype=getattr(torch, entry.dtype)).reshape(entry.shape)
    return tensor if entry.dtype == "int64" else tensor.to(torch.float32)


def _refuse(what: str, expected: str, cause: Exception | None = None) -> NoReturn:
    raise CheckpointError(
        f"the file's safetensors header {what}",
        expected,
        "upload it again, or write it again with safetensors.torch.save_file",
    ) from cause


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = sorted(name for name, _ in pairs)
        twice = next(a for a, b in pairwise(names) if a == b)
        _refuse(f"holds the name {shown(twice)} twice", "every name once")
    return found


def _number(text: str) -> NoReturn:
    _refuse(f"holds {text}", "whole numbers")


def _entry(name: str, value: Any, start: int) -> Entry:
    match value:
        case {"dtype": str(code), "shape": list(shape), "data_offsets": [begin, end]} if len(
            value
        ) == 3 and all(type(n) is int and 0 <= n < 2**63 for n in (*shape, begin, end)):
            pass
        case _:
            _refuse(f"describes {shown(name)} in an unknown way", "its type, shape and place")
    if code not in _TYPES:
        raise CheckpointError(
            f"the tensor {shown(name)} is of type {shown(code)}",
            "float32, float64, float16 or bfloat16",
            "cast it with tensor.float() and write the file again",
        )
    dtype, size = _TYPES[code]
    if len(shape) > DIMS:
        _refuse(f"gives {shown(name)} {len(shape)} dimensions", f"at most {DIMS}")
    if prod(shape) * size != end - begin:
        _refuse(
            f"gives {shown(name)} {shown(end - begin)} bytes for shape {shown(tuple(shape))}",
            f"{size} bytes for each number",
        )
    return Entry(dtype, tuple(shape), start + begin, start + end)


def _check_layout(entries: Mapping[str, Entry], start: int, size: int) -> None:
    at = start
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != at:
            _refuse(f"places {shown(name)} over another or behind a gap", "one after the other")
        at = entry.end
    if at != size:
        _refuse(f"places tensors up to byte {shown(at)} of {size}", "all bytes to be of tensors")
