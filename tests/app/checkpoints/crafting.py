"""Checkpoint files made by hand: pickles, archives and safetensors that no library would write."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zlib
from collections import OrderedDict
from typing import Any

import numpy as np
import torch

REBUILD = torch._utils._rebuild_tensor_v2


class Call:
    """Stands in a pickle for function(*args), called when the pickle is loaded."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = (function, args)

    def __reduce__(self) -> Any:
        return self.call


class Stored:
    """Stands in a pickle for a storage of an archive, with whatever it claims of itself."""

    def __init__(
        self, key: str, numel: int, kind: Any = torch.FloatStorage, location: str = "cpu"
    ) -> None:
        self.claim = ("storage", kind, key, location, numel)


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj: Any) -> Any:
        return obj.claim if isinstance(obj, Stored) else None


def pickled(value: Any, protocol: int = 2) -> bytes:
    """A pickle with `Call` and `Stored` in it."""
    buffer = io.BytesIO()
    _Pickler(buffer, protocol).dump(value)
    return buffer.getvalue()


def view(
    stored: Stored, shape: tuple[int, ...], stride: tuple[int, ...], offset: int = 0, *more: Any
) -> Call:
    """A tensor over a storage, as torch.save describes one."""
    return Call(REBUILD, stored, offset, shape, stride, False, OrderedDict(), *more)


def tensor(key: str = "0", numel: int = 4) -> Call:
    """A plain vector of a whole storage."""
    return view(Stored(key, numel), (numel,), (1,))


def zipped(
    records: dict[str, bytes] | list[tuple[str, bytes]],
    *,
    root: str = "archive/",
    method: int = 0,
    flags: int = 0,
    overlap: bool = False,
    wrong_crc: str | None = None,
) -> bytes:
    """A zip archive, record by record, with the wrongs that are asked for."""
    body, directory, at, last, before = [], [], 0, 0, b""
    items = list(records.items() if isinstance(records, dict) else records)
    for name, content in items:
        path = (root + name).encode()
        stored = content
        if method == 8:
            packer = zlib.compressobj(9, wbits=-15)
            stored = packer.compress(content) + packer.flush()
        crc = zlib.crc32(content) ^ (name == wrong_crc)
        known = (flags, method, 0, 0, crc, len(stored), len(content), len(path))
        if not (overlap and content == before):
            last = at
            body += [struct.pack("<4s5H3L2H", b"PK\3\4", 20, *known, 0), path, stored]
            at += sum(map(len, body[-3:]))
        before = content
        directory += [struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, *known, 0, 0, 0, 0, 0, last)]
        directory += [path]
    listed = b"".join(directory)
    count = len(items)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(listed), at, 0)
    return b"".join(body) + listed + end


def archive(
    value: Any, storages: dict[str, bytes] | None = None, *, raw: bytes | None = None, **wrongs: Any
) -> bytes:
    """A torch.save archive of a value, or of a raw pickle."""
    if storages is None:
        storages = {"0": floats(4)}
    records = {"data.pkl": pickled(value) if raw is None else raw, "byteorder": b"little"}
    records |= {f"data/{key}": content for key, content in storages.items()} | {"version": b"3\n"}
    return zipped(records, **wrongs)


def floats(count: int) -> bytes:
    """Raw float32 numbers."""
    return np.linspace(-1, 1, count, dtype=np.float32).tobytes()


def saved(value: Any, **how: Any) -> bytes:
    """What torch.save itself writes."""
    buffer = io.BytesIO()
    torch.save(value, buffer, **how)
    return buffer.getvalue()


def safetensors(header: Any, body: bytes = b"") -> bytes:
    """A safetensors file with any header: a value for JSON, or its bytes."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def entry(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, Any]:
    """One line of a safetensors header."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
