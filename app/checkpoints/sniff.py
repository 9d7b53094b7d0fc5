"""Gate 1, first half: what a file is by its bytes, whether its name agrees, how to convert it."""

from __future__ import annotations

from typing import Literal

from app.checkpoints.errors import PLAIN, SAVE_AGAIN, CheckpointError, shown
from app.checkpoints.limits import FILE_BYTES, MB

TORCH_NAMES = (".pt", ".pth", ".ckpt", ".bin", ".pt.tar", ".pth.tar")
SAFETENSORS_NAMES = (".safetensors",)

_UNPACK = "unpack it and upload the checkpoint inside"
_RESAVE = (
    "load it with the torch that wrote it, torch.load(path, weights_only=True), and "
    "save the result again with torch.save(result, 'model.pt')"
)
_KERAS = (
    "load it where it was made and write its weights with safetensors.numpy.save_file, under the "
    "names and shapes of the torch network"
)
_EXPORTED = "upload the state dict of the torch network that it was exported from"
_DOWNLOAD = "download the file itself, not the page about it"

#: First bytes -> what it is, what to do.
_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras, PyTables)", _KERAS),
    (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "a torch.save file from before 1.6", _RESAVE),
    (b"\x1f\x8b", "a gzip file", _UNPACK),
    (b"BZh", "a bzip2 file", _UNPACK),
    (b"\xfd7zXZ\x00", "an xz file", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "a zstandard file", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (b"Rar!", "a RAR archive", _UNPACK),
    (
        b"version https://git-lfs",
        "a git-lfs pointer, which stands for the real file",
        "run git lfs pull in the repository that it came from and upload what then lies there",
    ),
    (
        b"\x93NUMPY",
        "a numpy array",
        "save the arrays by name with safetensors.numpy.save_file",
    ),
    (b"GGUF", "a GGUF file", "upload the safetensors file that it was converted from"),
    (b"PK\x05\x06", "an empty zip archive", SAVE_AGAIN),
)


def kind_of(data: bytes, filename: str) -> Literal["torch", "safetensors"]:
    """Which of the two formats a file claims to be, by its first bytes and by its name.

    Args:
        data: the whole file, at most 50 MB.
        filename: its name; only its ending is looked at.

    Raises:
        CheckpointError: it is empty, too large, of another format, or named as what it is not.
    """
    _check_size(data)
    by_bytes = _by_bytes(data)
    if by_bytes is None:
        raise _other_format(data, filename)
    name = filename.lower()
    if name.endswith(TORCH_NAMES):
        by_name = "torch"
    elif name.endswith(SAFETENSORS_NAMES):
        by_name = "safetensors"
    else:
        raise CheckpointError(
            f"the file's name {shown(filename[-40:])} ends in none of the known ways",
            f"a name in {', '.join(TORCH_NAMES + SAFETENSORS_NAMES)}",
            "if it is a checkpoint, rename it; if not, " + SAVE_AGAIN,
        )
    if by_bytes != by_name:
        what = {"torch": "a zip archive", "safetensors": "safetensors"}[by_bytes]
        ending = {"torch": ".pt", "safetensors": ".safetensors"}[by_bytes]
        raise CheckpointError(
            f"the file is named {shown(filename[-40:])} and its bytes are those of {what}",
            f"{what} to be named {ending}",
            f"rename it to end in {ending}, if that is what you meant to upload",
        )
    return by_bytes


def _check_size(data: bytes) -> None:
    if not data:
        raise CheckpointError("the file is empty", PLAIN, "upload it again, or " + SAVE_AGAIN)
    if len(data) > FILE_BYTES:
        raise CheckpointError(
            f"the file has {len(data) / MB:.0f} MB",
            f"at most {FILE_BYTES // MB} MB",
            "save the weights alone, torch.save(model.state_dict(), 'model.pt'), or in float16",
        )


def _by_bytes(data: bytes) -> Literal["torch", "safetensors"] | None:
    if data.startswith(b"PK\x03\x04"):
        return "torch"
    # safetensors: the length of a header in 8 bytes, then the header, which is JSON
    if data[6:8] == b"\0\0" and data[8:16].lstrip(b" ")[:1] == b"{":
        return "safetensors"
    return None


def _other_format(data: bytes, filename: str) -> CheckpointError:
    """The refusal of a file of neither format, with the way to convert it where it is known."""
    for magic, what, advice in _MAGIC:
        if data.startswith(magic):
            return CheckpointError(f"the file is {what}", PLAIN, advice)
    head = data[:512].lstrip().lower()
    if head.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return CheckpointError("the file is a web page", PLAIN, _DOWNLOAD)
    if data[257:262] == b"ustar":
        return CheckpointError("the file is a tar archive", PLAIN, f"{_UNPACK}, or else {_RESAVE}")
    if filename.lower().endswith(".onnx") or (data[:1] == b"\x08" and b"onnx" in head):
        return CheckpointError("the file is an ONNX graph", PLAIN, _EXPORTED)
    if data[:1] == b"\x80" and data[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        return CheckpointError(
            "the file is a bare pickle, which can run code",
            PLAIN,
            "load it where it was made, and only if you trust it, and " + SAVE_AGAIN,
        )
    begins = f"the file begins with {data[:8]!r}, as no known format does"
    return CheckpointError(begins, PLAIN, "upload it again, or " + SAVE_AGAIN)
