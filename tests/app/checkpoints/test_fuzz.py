"""Changed at random, a file is refused or loads as finite numbers; nothing else ever happens."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from app.checkpoints import CheckpointError, child, read_checkpoint, reader
from app.checkpoints.archive import Archive, open_archive
from app.checkpoints.limits import CHILD_BYTES
from tests.app.checkpoints.crafting import zipped
from tests.app.checkpoints.honest import Honest, small_files

ROUNDS = 250


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """A few bits flipped, bytes replaced, cut out, doubled, or the end cut off."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(len(out)))
        length = int(rng.integers(1, 9))
        match int(rng.integers(6)):
            case 0 | 1:
                out[at] ^= 1 << int(rng.integers(8))
            case 2:
                out[at] = int(rng.choice(np.frombuffer(b"\0\1\xff(.0]}{)tQRbcqhsuK", np.uint8)))
            case 3:
                del out[at : at + length]
            case 4:
                out[at:at] = out[at : at + length]
            case _:
                del out[at + len(out) // 2 :]
        out = out or bytearray(b"\0")
    return bytes(out)


def whole(file: Honest, rng: np.random.Generator) -> bytes:
    return mutated(file.data, rng)


def pickle_alone(file: Honest, rng: np.random.Generator) -> bytes:
    """The pickle changed and its checksum right again, so that gate 2 gets to see it."""
    checked = open_archive(file.data)
    records = {f"data/{key}": bytes(raw) for key, raw in checked.storages.items()}
    return zipped({"data.pkl": mutated(checked.pickled, rng), "version": b"3\n"} | records)


def header_alone(file: Honest, rng: np.random.Generator) -> bytes:
    """The header changed and its length right again."""
    length = int.from_bytes(file.data[:8], "little")
    header = mutated(file.data[8 : 8 + length], rng)
    return len(header).to_bytes(8, "little") + header + file.data[8 + length :]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The program of gate 3 runs in this process, for speed; all else is as ever."""

    def load_here(archive: Archive, wanted: Mapping[Any, Any], on_wait: object) -> bytes:
        plan = [(path, tensor.dtype, tensor.shape) for path, tensor in wanted.items()]
        archive.write(str(tmp_path / "source"))
        try:
            tensors = child.load(tmp_path / "source", json.loads(json.dumps(plan)), CHILD_BYTES)
        except Exception as error:  # in a process of its own it ends just that
            raise CheckpointError("torch could not", "it to", "do") from error
        return safetensors.torch.save(tensors)

    monkeypatch.setattr(reader, "load_apart", load_here)


def verdicts(
    change: Callable[[Honest, np.random.Generator], bytes], ending: str
) -> Iterator[CheckpointError | None]:
    rng = np.random.default_rng(20260)
    for base in small_files():
        if not base.filename.endswith(ending):
            continue
        for _ in range(ROUNDS):
            try:
                checkpoint = read_checkpoint(change(base, rng), base.filename)
            except CheckpointError as error:
                yield error
            else:
                assert all(torch.isfinite(t).all() for t in checkpoint.tensors.values())
                yield None


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("change", "ending"),
    [
        (whole, ".pt"),
        (pickle_alone, ".pt"),
        (whole, ".safetensors"),
        (header_alone, ".safetensors"),
    ],
)
def test_changed_files(change: Any, ending: str) -> None:
    found = list(verdicts(change, ending))
    refused = [str(error) for error in found if error is not None]
    assert all(message.isascii() and message.isprintable() for message in refused)
    assert len(refused) > len(found) / 3
    assert len(refused) < len(found)  # some changes do no harm, or nothing was tested
