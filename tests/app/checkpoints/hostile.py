"""Files that must be refused, in families; each is made when it is asked for, and none is kept."""

from __future__ import annotations

import codecs
import gzip
import io
import math
import pickle
import tarfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tests.app.checkpoints.crafting import (
    REBUILD,
    Call,
    Stored,
    archive,
    entry,
    floats,
    pickled,
    safetensors,
    saved,
    tensor,
    view,
    zipped,
)

MB = 2**20


@dataclass(frozen=True)
class Case:
    """A file to be refused.

    Args:
        family: what it attacks.
        name: what it is.
        make: marker's path -> its bytes; only the code family writes the marker.
        found: words of the message that name what was found.
        advice: words of the message that say what to do.
        filename: its name.
        child: whether it takes the process of gate 3 to tell.
        fires: whether plain unpickling creates the marker.
    """

    family: str
    name: str
    make: Callable[[Path], bytes]
    found: str
    advice: str = "save it again with torch.save"
    filename: str = "model.pt"
    child: bool = False
    fires: bool = False


def payload(marker: Path) -> Call:
    """Creates the marker, an empty file, and does nothing else."""
    return Call(exec, f"open({str(marker)!r}, 'x').close()")


def _inst(marker: Path) -> bytes:
    code = f"open({str(marker)!r}, 'x').close()"
    return (
        b"\x80\x02(X" + len(code).to_bytes(4, "little") + code.encode() + b"i__builtin__\nexec\n."
    )


def _persistent(marker: Path) -> bytes:
    return b"\x80\x02" + pickle.dumps(payload(marker), 2)[2:-1] + b"0}."


def _in_metadata(marker: Path) -> bytes:
    call = pickle.dumps(payload(marker), 2)[2:-1]
    return b"\x80\x02ccollections\nOrderedDict\n)R}X\x09\0\0\0_metadata" + call + b"sb."


def _legacy_tar(marker: Path) -> bytes:
    values = {"sys_info": [{"little_endian": True}], "storages": [0, []], "tensors": [0]}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:") as tar:
        for name, several in (values | {"pickle": [payload(marker)]}).items():
            content = b"".join(pickle.dumps(value, 2) for value in several)
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _pre_16(marker: Path) -> bytes:
    head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    return b"".join(pickle.dumps(value, 2) for value in [*head, payload(marker), []])


class _Module(nn.Module):
    """A module whose pickle runs code, as that of any stranger's module may."""

    def __init__(self, marker: Path) -> None:
        super().__init__()
        self.marker = marker

    def __reduce__(self) -> Any:
        return payload(self.marker).call


def _stack_global(marker: Path) -> bytes:
    return pickled({"w": payload(marker)}, protocol=4)


ANOTHER = "the Python object"
CODE = [
    Case("code", "reduce", lambda m: archive(payload(m)), ANOTHER, fires=True),
    Case(
        "code",
        "nested below a tensor",
        lambda m: archive({"state_dict": {"w": tensor()}, "epoch": [{"a": payload(m)}]}),
        "'__builtin__.exec'",
        fires=True,
    ),
    Case(
        "code",
        "stack_global",
        lambda m: archive(None, raw=_stack_global(m)),
        "protocol 2",
        fires=True,
    ),
    Case("code", "inst", lambda m: archive(None, raw=_inst(m)), "INST", fires=True),
    Case("code", "popped", lambda m: archive(None, raw=_persistent(m)), ANOTHER, fires=True),
    Case(
        "code",
        "in _metadata",
        lambda m: archive(None, raw=_in_metadata(m)),
        ANOTHER,
        fires=True,
    ),
    Case(
        "code",
        "as a key",
        lambda m: archive(None, raw=b"\x80\x02}" + pickle.dumps(payload(m), 2)[2:-1] + b"K\1s."),
        ANOTHER,
        fires=True,
    ),
    Case("code", "whole module", lambda m: saved(_Module(m)), "__builtin__.exec", fires=True),
    Case(
        "code",
        "as an argument of a tensor",
        lambda m: archive({"w": view(Stored("0", 4), (4,), (1,), 0, payload(m))}),
        ANOTHER,
        fires=True,
    ),
    Case(
        "code",
        "bare pickle",
        lambda m: pickle.dumps(payload(m), 2),
        "a bare pickle, which can run code",
        fires=True,
    ),
    Case("code", "legacy tar", _legacy_tar, "a tar archive", "unpack it", fires=True),
    Case("code", "pre-1.6", _pre_16, "from before 1.6", "with the torch that wrote it", fires=True),
    Case(
        "code",
        "extra pickle behind the end",
        lambda m: archive(None, raw=pickled({"w": tensor()}) + pickle.dumps(payload(m), 2)),
        "goes on behind its end",
    ),
    Case(
        "code",
        "two data.pkl",
        lambda m: zipped(
            [("data.pkl", pickled({})), ("data.pkl", pickled(payload(m))), ("version", b"3\n")]
        ),
        "'data.pkl' twice",
    ),
    Case(
        "code",
        "second root",
        lambda m: zipped(
            [("a/data.pkl", pickled(payload(m))), ("b/data.pkl", pickled({}))], root=""
        ),
        "2 roots",
    ),
]


def _bomb(_: Path) -> bytes:
    return archive({"w": tensor("0", 16 * MB)}, {"0": bytes(64 * MB)}, method=8)


def _records(count: int) -> bytes:
    return zipped([("data.pkl", b"")] + [(f"data/{i}", b"") for i in range(count)])


def _operations(_: Path) -> bytes:
    return archive(None, raw=b"\x80\x02" + b"N0" * 400_000 + b".")


MEMORY = [
    Case("memory", "deflated storage", _bomb, "compressed"),
    Case(
        "memory",
        "overlapping records",
        lambda _: archive(
            [tensor(str(i), MB) for i in range(40)],
            {str(i): bytes(4 * MB) for i in range(40)},
            overlap=True,
        ),
        "is not where its list of records says",
    ),
    Case(
        "memory",
        "overlapping records of one name",
        lambda _: _overlapping(),
        "over another one",
    ),
    Case(
        "memory",
        "zero strides",
        lambda _: archive({"w": view(Stored("0", 4), (2**20, 2**20), (0, 0))}),
        "at most 128 MB",
    ),
    Case(
        "memory",
        "zero strides past 64 bits",
        lambda _: archive({"w": view(Stored("0", 4), (2**62, 2**62), (0, 0))}),
        "at most 128 MB",
    ),
    Case(
        "memory",
        "many overlapping views",
        lambda _: archive(
            {f"w{i}": view(Stored("0", 2 * MB), (MB, 16), (1, 0)) for i in range(200)},
            {"0": floats(2 * MB)},
        ),
        "claim 12800 MB",
        "without expanded copies",
    ),
    Case(
        "memory",
        "huge view",
        lambda _: archive({"w": view(Stored("0", 4), (2**40,), (1,))}),
        "of a storage of 4",
    ),
    Case(
        "memory",
        "declared size",
        lambda _: archive({"w": tensor("0", 10**12)}),
        "claims 1000000000000 float32 numbers",
    ),
    Case(
        "memory",
        "tensor constructor",
        lambda _: archive({"w": Call(torch.FloatTensor, 10**11)}),
        "'torch.FloatTensor'",
    ),
    Case(
        "memory",
        "function of torch",
        lambda _: archive({"w": Call(torch._utils._rebuild_sparse_tensor, torch.sparse_coo, ())}),
        ANOTHER,
    ),
    Case(
        "memory",
        "bytearray",
        lambda _: archive({"w": Call(bytearray, 10**11)}),
        "'__builtin__.bytearray'",
    ),
    Case(
        "memory",
        "giant pickle",
        lambda _: archive(None, raw=pickled({"text": "a" * (17 * MB)})),
        "17 MB",
        "save the weights alone",
    ),
    Case("memory", "many instructions", _operations, "instruction POP"),
    Case(
        "memory",
        "half a million lists",
        lambda _: archive(None, raw=b"\x80\x02" + b"]" * 600_000 + b"."),
        "more than 500000 instructions",
    ),
    Case(
        "memory",
        "30,000 empty records",
        lambda _: _records(30_000),
        "30001 records",
        "save the weights alone",
    ),
    Case(
        "memory",
        "giant integer",
        lambda _: archive(
            None, raw=b"\x80\x02\x8b" + (8 * MB).to_bytes(4, "little") + b"\x7f" * (8 * MB) + b"."
        ),
        "LONG4",
    ),
    Case(
        "memory",
        "giant safetensors header",
        lambda _: safetensors(b"{" + b" " * (2 * MB) + b"}"),
        "claims 2 MB",
        "write it again with safetensors",
        "model.safetensors",
    ),
    Case(
        "memory",
        "endless safetensors header",
        lambda _: (2**48 - 1).to_bytes(8, "little") + b"{}",
        "claims 2.68e+08 MB",
        "write it again with safetensors",
        "model.safetensors",
    ),
    Case(
        "memory",
        "safetensors claims terabytes",
        lambda _: safetensors({"w": entry("F32", [2**40], 0, 2**42)}, bytes(16)),
        "up to byte",
        "write it again with safetensors",
        "model.safetensors",
    ),
    Case(
        "memory",
        "too large",
        lambda _: bytes(50 * MB + 1),
        "50 MB",
        "save the weights alone",
    ),
]


def _overlapping() -> bytes:
    """Two records of one storage, the second of which begins inside the first."""
    inner = zipped({"data/1": floats(4)})[: 30 + len("archive/data/1") + 16]
    whole = zipped({"data.pkl": pickled({"w": tensor("0", len(inner) // 4)}), "data/0": inner})
    record = zipped({"data/1": floats(4)})
    entry_1 = record[len(inner) : -22]
    at = whole.index(inner)
    entry_1 = entry_1[:42] + at.to_bytes(4, "little") + entry_1[46:]
    directory, end = whole[:-22], whole[-22:]
    size = int.from_bytes(end[12:16], "little") + len(entry_1)
    count = (3).to_bytes(2, "little") * 2
    return directory + entry_1 + end[:8] + count + size.to_bytes(4, "little") + end[16:]


def _recursive_list() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


def _recursive_dict() -> Any:
    value: dict[str, Any] = {}
    value["itself"] = value
    return value


def _doubled(kind: Callable[[Any], Any], levels: int = 60) -> Any:
    value = kind(())
    for _ in range(levels):
        value = kind((value, value))
    return value


def _tuple_key() -> bytes:
    """{t: 1} with t = (t', t'), 60 levels: its hash takes 2**60 steps."""
    levels = b"".join(b"q%ch%c\x86" % (i, i) for i in range(60))
    return b"\x80\x02})" + levels + b"K\x01s."


TWICE = "one container in two places"
HANG = [
    Case("hang", "list in itself", lambda _: archive({"w": _recursive_list()}), TWICE, "a copy"),
    Case("hang", "dictionary in itself", lambda _: archive(_recursive_dict()), TWICE, "a copy"),
    Case("hang", "doubled lists", lambda _: archive({"w": _doubled(list, 5)}), TWICE, "a copy"),
    Case("hang", "doubled tuples", lambda _: archive({"w": _doubled(tuple)}), TWICE, "a copy"),
    Case("hang", "tuple as a key", lambda _: archive(None, raw=_tuple_key()), TWICE, "a copy"),
    Case(
        "hang",
        "long tuple many times",
        lambda _: archive([(t := tuple(range(20_000))), *[t] * 20_000]),
        TWICE,
        "a copy",
    ),
    Case(
        "hang",
        "huge flat tuple as a key",
        lambda _: archive({tuple(range(100_000)): 1}),
        "a tuple as a key",
    ),
    Case(
        "hang",
        "codec call",
        lambda _: archive({"w": Call(codecs.encode, "a" * MB, "punycode")}),
        "'_codecs.encode'",
    ),
]


def _nested(open_: bytes, close: bytes) -> Callable[[Path], bytes]:
    return lambda _: archive(None, raw=b"\x80\x02" + open_ * 100_000 + close * 99_999 + b".")


CRASH = [
    Case(
        "crash",
        "sparse rebuild",
        lambda _: archive(
            {
                "w": Call(
                    torch._utils._rebuild_sparse_tensor,
                    torch.sparse_coo,
                    (tensor(), tensor(), (2**40,), True),
                )
            }
        ),
        "'torch._utils._rebuild_sparse_tensor'",
        "dense",
    ),
    Case(
        "crash",
        "quantized rebuild",
        lambda _: archive(
            {
                "w": Call(
                    torch._utils._rebuild_qtensor,
                    *(Stored("0", 4), 0, (4,), (1,), 0, False, OrderedDict()),
                )
            }
        ),
        "_rebuild_qtensor",
        "dense",
    ),
    Case(
        "crash",
        "nested tensor",
        lambda _: archive({"w": Call(torch._utils._rebuild_nested_tensor, tensor(), 1, 2, 3)}),
        "_rebuild_nested_tensor",
        "dense",
    ),
    Case(
        "crash",
        "rebuilt type",
        lambda _: archive(
            {"w": Call(torch._tensor._rebuild_from_type_v2, torch.Tensor, torch.Tensor, (), {})}
        ),
        "_rebuild_from_type_v2",
        "dense",
    ),
    Case("crash", "deep lists", _nested(b"]", b"a"), "nests values more than 8"),
    Case("crash", "deep tuples", _nested(b"N", b"\x85"), "leaves values behind"),
    Case(
        "crash",
        "one deep tuple",
        lambda _: archive(None, raw=b"\x80\x02)" + b"\x85" * 400_000 + b"."),
        "nests values more than 8",
    ),
    Case("crash", "deep marks", _nested(b"(", b"t"), "nests values more than 8"),
    Case(
        "crash",
        "deep safetensors header",
        lambda _: safetensors(b'{"w":' + b"[" * 500_000 + b"]" * 500_000 + b"}"),
        "is no JSON",
        "write it again with safetensors",
        "model.safetensors",
    ),
    Case(
        "crash",
        "state of a tensor",
        lambda _: archive(None, raw=pickled(tensor())[:-1] + b"(K\1K\2K\3tb."),
        "sets the state of an object",
    ),
]

LEAK = [
    Case(
        "leak",
        "view past the end",
        lambda _: archive({"w": view(Stored("0", 4), (4,), (1,), 2)}),
        "reaches to number 6 of a storage of 4",
    ),
    Case(
        "leak",
        "stride past the end",
        lambda _: archive({"w": view(Stored("0", 4), (4,), (3,))}),
        "reaches to number 10 of a storage of 4",
    ),
    Case(
        "leak",
        "negative offset",
        lambda _: archive({"w": view(Stored("0", 4), (4,), (1,), -3)}),
        "in an unknown way",
    ),
    Case(
        "leak",
        "negative stride",
        lambda _: archive({"w": view(Stored("0", 4), (4,), (-1,), 3)}),
        "in an unknown way",
    ),
    Case(
        "leak",
        "storage longer than its record",
        lambda _: archive({"w": tensor("0", 400)}),
        "claims 400 float32 numbers in storage '0', which has 16 bytes",
    ),
    Case("leak", "no record", lambda _: archive({"w": tensor("7", 4)}), "which has 0 bytes"),
    Case(
        "leak",
        "one storage as two types",
        lambda _: archive(
            {"a": tensor(), "b": view(Stored("0", 2, torch.DoubleStorage), (2,), (1,))}
        ),
        "as two number types",
    ),
    Case(
        "leak",
        "uninitialised memory",
        lambda _: archive({"w": Call(torch.Tensor, 1000)}),
        "'torch.Tensor'",
    ),
    Case(
        "leak",
        "a storage of fresh memory",
        lambda _: archive({"w": Call(torch.UntypedStorage, 1000)}),
        "UntypedStorage'",
        "dense",
    ),
]


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)


def _bytes_of(write: Callable[[Any], Any]) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def _flipped(data: bytes, at: int, bits: int = 1) -> bytes:
    at %= len(data)
    return data[:at] + bytes([data[at] ^ bits]) + data[at + 1 :]


def _end_changed(at: int, value: bytes) -> bytes:
    data = archive({"w": tensor()})
    at += len(data) - 22
    return data[:at] + value + data[at + len(value) :]


def _plain() -> bytes:
    return saved({"w": torch.ones(4)})


def _random(_: Path) -> bytes:
    return np.random.default_rng(0).bytes(10_000)


W = {"w": entry("F32", [4], 0, 16)}
ONE = safetensors(W, floats(4))
ST = "model.safetensors"
AGAIN = "write it again with safetensors"
FORMAT = [
    Case("format", "empty", lambda _: b"", "the file is empty"),
    Case("format", "random", _random, "as no known format does"),
    Case("format", "truncated", lambda _: _plain()[:-100], "cut off or damaged"),
    Case("format", "truncated in the middle", lambda _: _plain()[:700], "cut off or damaged"),
    Case(
        "format",
        "bit flip in a storage",
        lambda _: archive({"w": tensor()}, wrong_crc="data/0"),
        "the checksum of 'archive/data/0' does not hold",
    ),
    Case(
        "format",
        "bit flip in a record's place",
        lambda _: _flipped(archive({"w": tensor()}), -41),
        "cut off or damaged",
    ),
    Case(
        "format",
        "list of records beyond the end",
        lambda _: archive({"w": tensor()})[:-6] + b"\xff\xff\xff\x7f\0\0",
        "points outside of it",
    ),
    Case(
        "format",
        "list of records cut short",
        lambda _: _end_changed(8, (3).to_bytes(2, "little") * 2),
        "longer than it says",
    ),
    Case(
        "format",
        "record beyond the end",
        lambda _: _flipped(archive({"w": tensor()}), -38, 0x7F),
        "lies outside of it",
    ),
    Case(
        "format",
        "end of a record beyond the end",
        lambda _: _flipped(_flipped(archive({"w": tensor()}), -57, 0x7F), -61, 0x7F),
        "lies outside of it",
    ),
    Case(
        "format",
        "appends to a dictionary",
        lambda _: archive(None, raw=b"\x80\2}K\1a."),
        "appends to what is no list",
    ),
    Case(
        "format",
        "items of a list",
        lambda _: archive(None, raw=b"\x80\2]K\1K\2s."),
        "sets items of what is no dictionary",
    ),
    Case(
        "format",
        "second protocol",
        lambda _: archive(None, raw=b"\x80\2}\x80\2."),
        "changes its protocol",
    ),
    Case(
        "format",
        "function as a value",
        lambda _: archive({"w": tensor(), "f": OrderedDict}),
        "a function or a storage as a value",
    ),
    Case(
        "format",
        "storage as a value",
        lambda _: archive({"w": tensor(), "s": Stored("0", 4)}),
        "a function or a storage as a value",
    ),
    Case(
        "format",
        "tensor over no storage",
        lambda _: archive({"w": Call(REBUILD, 7, 0, (4,), (1,), False, OrderedDict())}),
        "calls a function in an unknown way",
    ),
    Case(
        "format",
        "conjugate bit",
        lambda _: archive({"w": view(Stored("0", 4), (4,), (1,), 0, {"conj": True})}),
        "calls a function in an unknown way",
    ),
    Case(
        "format",
        "gradients of integers",
        lambda _: archive(
            {"w": Call(REBUILD, Stored("0", 2, torch.LongStorage), 0, (), (), True, OrderedDict())}
        ),
        "asks for gradients of a int64 tensor",
    ),
    Case(
        "format",
        "pickle cut off",
        lambda _: archive(None, raw=pickled({"w": tensor()})[:-20]),
        "pickle is damaged",
    ),
    Case(
        "format",
        "one name twice",
        lambda _: archive(None, raw=b"\x80\x02}(X\1\0\0\0wK\1X\1\0\0\0wK\2u."),
        "the name 'w' twice",
    ),
    Case("format", "archive named safetensors", lambda _: _plain(), "a zip", "rename", ST),
    Case("format", "safetensors named pt", lambda _: ONE, "those of safetensors", "rename"),
    Case("format", "other ending", lambda _: _plain(), "none of the known", "rename", "model.exe"),
    Case(
        "format",
        "web page",
        lambda _: b"\n<!DOCTYPE html><html><script>alert(1)</script></html>",
        "a web page",
        "download the file itself",
    ),
    Case(
        "format",
        "ONNX",
        lambda _: b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:\x10onnx::MatMul",
        "an ONNX graph",
        "state dict of the torch network",
        "model.onnx",
    ),
    Case(
        "format",
        "TorchScript",
        lambda _: zipped({"data.pkl": b"", "code/__torch__.py": b"", "constants.pkl": b""}),
        "a TorchScript archive",
        "torch.jit.load(path).state_dict()",
    ),
    Case(
        "format",
        "git-lfs pointer",
        lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "a git-lfs pointer",
        "git lfs pull",
    ),
    Case(
        "format",
        "whole module",
        lambda _: saved(_Net()),
        "_Net'",
        "a whole pickled model runs its author's code",
    ),
    Case(
        "format",
        "before 1.6",
        lambda _: saved({"w": torch.ones(4)}, _use_new_zipfile_serialization=False),
        "from before 1.6",
        "save the result again",
    ),
    Case("format", "HDF5", lambda _: b"\x89HDF\r\n\x1a\n\0", "an HDF5 file", "safetensors.numpy"),
    Case("format", "gzip", lambda _: gzip.compress(_plain()), "a gzip file", "unpack it"),
    Case(
        "format",
        "npz",
        lambda _: _bytes_of(lambda f: np.savez(f, X=np.ones(3))),
        "a numpy archive",
        "safetensors.numpy.save_file",
    ),
    Case(
        "format",
        "npy",
        lambda _: _bytes_of(lambda f: np.save(f, np.ones(3))),
        "a numpy array",
        "safetensors.numpy.save_file",
    ),
    Case(
        "format",
        "keras",
        lambda _: zipped({"config.json": b"{}", "model.weights.h5": b""}, root=""),
        "a whole model (Keras",
        "as a state dict",
    ),
    Case("format", "other zip", lambda _: zipped({"a.txt": b""}), "without a data.pkl", "unpack"),
    Case("format", "empty zip", lambda _: zipped({}), "an empty zip archive"),
    Case("format", "pickle", lambda _: pickle.dumps({"w": 1}), "a bare pickle"),
    Case(
        "format",
        "big-endian",
        lambda _: zipped({"data.pkl": pickled({"w": 1}), "byteorder": b"big"}),
        "little-endian",
    ),
    Case(
        "format",
        "foreign record",
        lambda _: zipped({"data.pkl": pickled({}), "../evil.py": b""}),
        "a record '../evil.py'",
    ),
    Case("format", "encrypted", lambda _: archive({"w": tensor()}, flags=1), "encrypted"),
    Case("format", "protocol 5", lambda _: saved({"w": 1}, pickle_protocol=5), "protocol 2"),
    Case("format", "no state dict", lambda _: saved({"lr": 0.1, "net": []}), "it holds 'lr'"),
    Case("format", "empty state dict", lambda _: saved({}), "it holds nothing"),
    Case("format", "bare tensor", lambda _: saved(torch.ones(4)), "the file holds a tensor"),
    Case("format", "list of tensors", lambda _: saved([torch.ones(4)]), "the file holds a list"),
    Case(
        "format",
        "nested state dict",
        lambda _: saved({"state_dict": {"w": torch.ones(1), "part": {"w": torch.ones(1)}}}),
        "a dict under 'part'",
    ),
    Case(
        "format",
        "numpy values",
        lambda _: archive({"w": tensor(), "loss": np.float64(0.5)}),
        "'numpy",
        "value.item()",
    ),
    Case(
        "format",
        "safetensors, one name twice",
        lambda _: safetensors(b'{"w":{},"w":{}}'),
        "the name 'w' twice",
        AGAIN,
        ST,
    ),
    Case("format", "safetensors, nothing", lambda _: safetensors({}), "no tensors", filename=ST),
    Case(
        "format",
        "safetensors, nine dimensions",
        lambda _: safetensors({"w": entry("F32", [1] * 9, 0, 4)}, bytes(4)),
        "9 dimensions",
        AGAIN,
        ST,
    ),
    Case(
        "format",
        "safetensors, 8,001 tensors",
        lambda _: safetensors({f"{i}": entry("F32", [1], 4 * i, 4 * i + 4) for i in range(8001)}),
        "lists 8001 tensors",
        AGAIN,
        ST,
    ),
    Case("format", "safetensors, truncated", lambda _: ONE[:-1], "up to byte", AGAIN, ST),
    Case("format", "safetensors, cut header", lambda _: ONE[:20], "is cut off", AGAIN, ST),
    Case("format", "safetensors, more bytes", lambda _: ONE + b"\0", "up to byte", AGAIN, ST),
    Case(
        "format",
        "safetensors, gap",
        lambda _: safetensors({"w": entry("F32", [4], 8, 24)}, bytes(24)),
        "behind a gap",
        AGAIN,
        ST,
    ),
    Case(
        "format",
        "safetensors, overlap",
        lambda _: safetensors(W | {"v": entry("F32", [4], 8, 24)}, bytes(24)),
        "over another",
        AGAIN,
        ST,
    ),
    Case(
        "format",
        "safetensors, wrong size",
        lambda _: safetensors({"w": entry("F32", [3], 0, 16)}, bytes(16)),
        "16 bytes for shape (3,)",
        AGAIN,
        ST,
    ),
    Case(
        "format",
        "safetensors, fractions",
        lambda _: safetensors(b'{"w":{"dtype":"F32","shape":[NaN],"data_offsets":[0,16]}}'),
        "holds NaN",
        AGAIN,
        ST,
    ),
    Case(
        "format",
        "safetensors, giant integers",
        lambda _: safetensors({"w": entry("F32", [1], 10**4000, 10**4000 + 4)}, bytes(4)),
        "'w' in an unknown way",
        AGAIN,
        ST,
    ),
]


def _adam(**wrong: Any) -> dict[str, Any]:
    kept = {"step": torch.tensor(3.0), "exp_avg": torch.ones(4), "exp_avg_sq": torch.ones(4)}
    groups = [{"lr": 0.1, "betas": (0.9, 0.999), "params": [0]}]
    return {
        "state_dict": {"w": torch.ones(4)},
        "optimizer": {"state": {0: kept | wrong}, "param_groups": groups},
    }


def _adam_of(parameter: int) -> dict[str, Any]:
    whole = _adam()
    whole["optimizer"]["state"] = {parameter: whole["optimizer"]["state"][0]}
    return whole


def _one(dtype: str, content: bytes, shape: list[int]) -> Callable[[Path], bytes]:
    return lambda _: safetensors({"w": entry(dtype, shape, 0, len(content))}, content)


RESCALE = "rescale the tensor"
CAST = ".float()"
NUMBERS = [
    Case(
        "numbers",
        "NaN",
        lambda _: saved({"w": torch.tensor([1.0, math.nan])}),
        "'w', float32 in the file, holds 1 of 2 values that are NaN",
        RESCALE,
        child=True,
    ),
    Case(
        "numbers",
        "overflow on the cast",
        lambda _: saved({"w": torch.tensor([1e300], dtype=torch.float64)}),
        "float64 in the file, holds 1 of 1 values",
        RESCALE,
        child=True,
    ),
    Case(
        "numbers",
        "infinite, safetensors",
        _one("F16", np.array([1, np.inf], np.float16).tobytes(), [2]),
        "float16 in the file, holds 1 of 2",
        RESCALE,
        ST,
    ),
    Case(
        "numbers",
        "overflow, safetensors",
        _one("F64", np.array([-1e39]).tobytes(), [1]),
        "float64 in the file",
        RESCALE,
        ST,
    ),
    Case("numbers", "fp8, safetensors", _one("F8_E4M3", b"\0", [1]), "'F8_E4M3'", CAST, ST),
    Case("numbers", "integers, safetensors", _one("I32", bytes(4), [1]), "int32", CAST, ST),
    Case("numbers", "zero-size, safetensors", _one("F32", b"", [0]), "holds nothing", "leave", ST),
    Case("numbers", "complex", lambda _: saved({"w": torch.ones(2) * 1j}), "ComplexFloat", CAST),
    Case("numbers", "int32", lambda _: saved({"w": torch.ones(2).int()}), "int32", CAST),
    Case("numbers", "int64 matrix", lambda _: saved({"w": torch.ones(2, 2).long()}), "int64", CAST),
    Case("numbers", "bool", lambda _: saved({"w": torch.ones(2).bool()}), "type bool", CAST),
    Case(
        "numbers",
        "fp8",
        lambda _: saved({"w": torch.ones(2).to(torch.float8_e4m3fn)}),
        "_rebuild_tensor_v3",
        CAST,
    ),
    Case(
        "numbers",
        "meta",
        lambda _: saved({"w": torch.ones(2, device="meta")}),
        "_rebuild_meta_tensor_no_storage",
        "dense",
    ),
    Case(
        "numbers",
        "meta storage",
        lambda _: archive({"w": view(Stored("0", 4, location="meta"), (4,), (1,))}),
        "a storage in an unknown way",
    ),
    Case("numbers", "zero-size", lambda _: saved({"w": torch.ones(0, 2)}), "nothing", "leave"),
    Case(
        "numbers",
        "nine dimensions",
        lambda _: saved({"w": torch.ones([1] * 9)}),
        "at most 8 dimensions",
    ),
    Case("numbers", "giant number", lambda _: saved({"w": 2**70}), "more than 64 bits"),
    Case(
        "numbers",
        "negative second moment",
        lambda _: saved(_adam(exp_avg_sq=-torch.ones(4))),
        "exp_avg_sq of parameter 0 is negative",
        "without the optimizer",
        child=True,
    ),
    Case(
        "numbers",
        "moments of two shapes",
        lambda _: saved(_adam(exp_avg=torch.ones(3))),
        "differ in type or shape",
        "without the optimizer",
    ),
    Case(
        "numbers",
        "half a step",
        lambda _: saved(_adam(step=2.5)),
        "no count of steps",
        "without the optimizer",
    ),
    Case(
        "numbers",
        "moments of integers",
        lambda _: saved(_adam(exp_avg=torch.ones(4).int(), exp_avg_sq=torch.ones(4).int())),
        "moments of type int32",
        "without the optimizer",
    ),
    Case(
        "numbers",
        "state of a parameter that no group has",
        lambda _: saved(_adam_of(5)),
        "name different parameters",
        "without the optimizer",
    ),
    Case(
        "numbers",
        "NaN as the count of steps",
        lambda _: saved(_adam(step=math.nan)),
        "no count of steps",
        "without the optimizer",
    ),
]


def _named(name: Any) -> Callable[[Path], bytes]:
    return lambda _: archive({"state_dict": {name: tensor()}})


def _crowd(_: Path) -> bytes:
    return archive({f"w{i}": tensor() for i in range(10_000)})


RENAME = "rename it in the state dict"
SCRIPT = "<script>alert(1)</script>"
NAMES = [
    Case("names", "script tag", _named(SCRIPT), f"'{SCRIPT}'", RENAME),
    Case("names", "markdown image", _named("![a](http://b/c.png)"), "'![a](http", RENAME),
    Case("names", "lone surrogate", _named("w\ud800"), r"'w\ud800'", RENAME),
    Case("names", "letters that look alike", _named("wеight"), r"'w\u0435ight'", RENAME),
    Case("names", "line breaks", _named("a\nTraceback"), r"'a\nTraceback'", RENAME),
    Case("names", "path", _named("../../etc/passwd"), "'../../etc/passwd'", RENAME),
    Case("names", "very long", _named("w" * 100_000), "of 100000 characters", RENAME),
    Case("names", "no text", _named(""), "a tensor ''", RENAME),
    Case("names", "number", _named(7), "the int 7"),
    Case("names", "10,000 tensors", _crowd, "holds 10000 tensors", "save the weights alone"),
    Case(
        "names",
        "2,001 tensors",
        lambda _: archive({f"w{i}": tensor() for i in range(2001)}),
        "has 2001 tensors",
        "save the part of it",
    ),
    Case(
        "names",
        "with and without a prefix",
        lambda _: archive({"module.n_averaged": tensor(), "n_averaged": tensor()}),
        "with and without 'module.'",
    ),
    Case(
        "names",
        "script tag, safetensors",
        lambda _: safetensors({SCRIPT: entry("F32", [1], 0, 4)}, bytes(4)),
        f"'{SCRIPT}'",
        RENAME,
        ST,
    ),
    Case(
        "names",
        "script tag as a number type",
        lambda _: safetensors({"w": entry(SCRIPT, [1], 0, 4)}, bytes(4)),
        f"'{SCRIPT}'",
        CAST,
        ST,
    ),
]

HOSTILE = CODE + MEMORY + HANG + CRASH + LEAK + FORMAT + NUMBERS + NAMES
