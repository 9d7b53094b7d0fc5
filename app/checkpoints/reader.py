"""An uploaded file -> named tensors, or one CheckpointError: the four gates in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from app.checkpoints.adam import Path, find_adam
from app.checkpoints.archive import open_archive
from app.checkpoints.checkpoint import Checkpoint
from app.checkpoints.errors import SAVE_AGAIN, CheckpointError, shown
from app.checkpoints.layout import (
    Described,
    check_bytes,
    check_network,
    find_network,
    prefix_of,
)
from app.checkpoints.outline import TensorOutline, outline
from app.checkpoints.sandbox import load_apart
from app.checkpoints.sniff import kind_of
from app.checkpoints.tensorfile import read_entries, read_tensor

if TYPE_CHECKING:
    from torch import Tensor


def read_checkpoint(
    data: bytes, filename: str, on_wait: Callable[[int], None] | None = None
) -> Checkpoint:
    """Read a checkpoint that may come from a stranger.

    A torch.save file passes four gates: its archive is checked record by record, its pickle is
    walked and not run, torch loads it in a process of its own, and only finite numbers under plain
    names come in. A safetensors file has nothing to run and passes the first and the last.

    Args:
        data: the whole file, at most 50 MB.
        filename: its name, which tells the format; never used as a path.
        on_wait: called in this thread with the file's place in the queue, 1 for the next, while
            two other torch.save files are being loaded.

    Returns:
        The network's tensors as float32 (int64 for scalar counters), Adam's state where there is
        one, and what was found beside them.

    Raises:
        CheckpointError: the file is not read; the text says what was found, what was expected and
            what to do.
    """
    if kind_of(data, filename) == "safetensors":
        return _read_safetensors(data)
    return _read_torch(data, on_wait)


def _read_safetensors(data: bytes) -> Checkpoint:
    entries = read_entries(data)
    check_network(entries)
    renamed = _renamed(entries)
    tensors = {
        renamed[name]: _finite(f"the tensor {shown(name)}", entry, read_tensor(data, entry))
        for name, entry in entries.items()
    }
    return Checkpoint(tensors, None, _meta("safetensors", entries, renamed))


def _read_torch(data: bytes, on_wait: Callable[[int], None] | None) -> Checkpoint:
    archive = open_archive(data)
    sizes = {key: len(raw) for key, raw in archive.storages.items()}
    top = outline(archive.pickled, sizes)
    found = find_network(top)
    check_network(found.tensors)
    renamed = _renamed(found.tensors)
    adam = find_adam(top, found.tensors, renamed) if found.wrapper else None

    above: Path = (found.wrapper,) if found.wrapper else ()
    wanted: dict[Path, TensorOutline] = {(*above, n): t for n, t in found.tensors.items()}
    wanted |= adam.wanted() if adam else {}
    check_bytes(wanted.values())
    loaded = _load(load_apart(archive, wanted, on_wait), wanted)

    tensors = {new: loaded[(*above, old)] for old, new in renamed.items()}
    state = adam.read(loaded.__getitem__) if adam else None
    meta = _meta("torch", found.tensors, renamed)
    meta |= {"wrapper": found.wrapper, "values": found.values}
    meta["left_aside"] = [key for key in found.left_aside if not adam or key != adam.key]
    return Checkpoint(tensors, state, meta)


def _load(file: bytes, wanted: Mapping[Path, TensorOutline]) -> dict[Path, Tensor]:
    """The tensors that came back, held to what was asked for."""
    entries = read_entries(file)
    planned = {
        str(i): ("int64" if t.dtype == "int64" else "float32", t.shape)
        for i, t in enumerate(wanted.values())
    }
    if {name: (entry.dtype, entry.shape) for name, entry in entries.items()} != planned:
        raise CheckpointError(
            "torch read other tensors than the file describes", "the same ones", SAVE_AGAIN
        )
    return {
        path: _finite(_described(path), tensor, read_tensor(file, entries[str(i)]))
        for i, (path, tensor) in enumerate(wanted.items())
    }


def _finite(what: str, source: Described, tensor: Tensor) -> Tensor:
    import torch

    broken = tensor.numel() - int(torch.isfinite(tensor).sum())
    if broken:
        raise CheckpointError(
            f"{what}, {source.dtype} in the file, holds {broken} of {tensor.numel()} values that "
            "are NaN or infinite as float32",
            "finite numbers",
            "take a checkpoint from before training broke down, or rescale the tensor",
        )
    return tensor


def _described(path: Path) -> str:
    *above, name = path
    if len(above) <= 1:
        return f"the tensor {shown(name)}"
    return f"the optimizer's {name} of parameter {shown(above[-1])}"


def _renamed(names: Mapping[str, Any]) -> dict[str, str]:
    """Name in the file -> name without what wrappers put before it."""
    prefix = prefix_of(names)
    renamed = {name: name.removeprefix(prefix) for name in names}
    if len(set(renamed.values())) < len(renamed):
        raise CheckpointError(
            f"the file names one tensor with and without {shown(prefix)}",
            "every name once",
            SAVE_AGAIN,
        )
    return renamed


def _meta(
    form: str, tensors: Mapping[str, Described], renamed: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "format": form,
        "wrapper": None,
        "prefix": prefix_of(tensors),
        "dtypes": {renamed[name]: tensor.dtype for name, tensor in tensors.items()},
        "values": {},
        "left_aside": [],
    }
