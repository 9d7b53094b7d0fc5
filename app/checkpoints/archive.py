"""Gate 1, second half: the zip archive of torch.save, record by record, before torch sees it."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from zipfile import ZipFile

from app.checkpoints.errors import PLAIN, SAVE_AGAIN, CheckpointError, shown
from app.checkpoints.limits import FILE_TENSORS, MB, PICKLE_BYTES

__all__ = ["Archive", "open_archive"]

_RECORDS = FILE_TENSORS + 16
_END = struct.Struct("<4s4H2LH")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_ENCRYPTED = 0x2041  # the three flags of the zip format that say so
#: What torch.save writes below its root; nothing else has a meaning there.
_KNOWN = re.compile(
    r"data\.pkl|byteorder|version|\.format_version|\.storage_alignment|\.data/serialization_id"
    r"|data/(?:0|[1-9]\d{0,5})"
)


@dataclass(frozen=True)
class Archive:
    """What a checked archive holds.

    Args:
        pickled: the bytes of data.pkl.
        storages: key -> the raw bytes of that storage, a view of the file.
    """

    pickled: bytes
    storages: Mapping[str, memoryview]

    def write(self, path: str) -> None:
        """Write an archive of these records alone, so that torch reads what was checked here."""
        with ZipFile(path, "w") as out:  # stored, not deflated
            out.writestr("archive/data.pkl", self.pickled)
            out.writestr("archive/byteorder", b"little")
            out.writestr("archive/version", b"3\n")
            for key, raw in self.storages.items():
                out.writestr(f"archive/data/{key}", raw)


@dataclass(frozen=True)
class _Record:
    name: str
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int


def open_archive(data: bytes) -> Archive:
    """Check a zip archive and take its records apart.

    All records are stored as they are, named once, below one root, where the directory says, one
    after the other, and their checksums hold; so what they hold is no larger than the file.

    Args:
        data: the whole file, of at most 50 MB.

    Raises:
        CheckpointError: it is no such archive, or one of something else.
    """
    view = memoryview(data)
    try:
        records = list(_directory(view))
    except (struct.error, UnicodeDecodeError, IndexError) as error:
        raise _damaged("its list of records is damaged") from error
    inner = _inner_names(records)
    contents = _contents(view, records)
    parts = dict(zip(inner, contents, strict=True))
    if bytes(parts.get("byteorder", b"little")) != b"little":
        raise CheckpointError(
            "the file's numbers are not in little-endian order",
            "an archive written on a usual machine",
            SAVE_AGAIN + " there",
        )
    if len(parts["data.pkl"]) > PICKLE_BYTES:
        raise CheckpointError(
            f"the file's pickle has {len(parts['data.pkl']) / MB:.0f} MB",
            f"at most {PICKLE_BYTES // MB} MB beside the tensors",
            "save the weights alone, torch.save(model.state_dict(), 'model.pt')",
        )
    storages = {n.removeprefix("data/"): raw for n, raw in parts.items() if n.startswith("data/")}
    return Archive(bytes(parts["data.pkl"]), storages)


def _directory(view: memoryview) -> Iterator[_Record]:
    """The records as the directory at the end of the archive lists them."""
    end = len(view) - _END.size
    if end < 0 or bytes(view[end : end + 4]) != b"PK\x05\x06":
        raise _damaged("the directory at its end is missing")
    _, disk, start_disk, here, count, size, offset, _ = _END.unpack_from(view, end)
    if disk or start_disk or here != count or offset + size > end:
        raise _damaged("the directory at its end points outside of it")
    if count > _RECORDS:
        raise CheckpointError(
            f"the file holds {count} records",
            f"at most {FILE_TENSORS} tensors in a file",
            "save the weights alone, torch.save(model.state_dict(), 'model.pt')",
        )
    at = offset
    for _ in range(count):
        head = _CENTRAL.unpack_from(view, at)
        signature, (flags, method), (crc, packed, full) = head[0], head[3:5], head[7:10]
        name_length, extra_length, comment_length = head[10:13]
        after = at + _CENTRAL.size + name_length
        if signature != b"PK\x01\x02" or after > offset + size:
            raise _damaged("its list of records is damaged")
        name = bytes(view[at + _CENTRAL.size : after]).decode("utf-8")
        yield _Record(name, flags, method, crc, packed, full, head[16])
        at = after + extra_length + comment_length
    if at != offset + size:
        raise _damaged("its list of records is longer than it says")


def _inner_names(records: list[_Record]) -> list[str]:
    """The names below the one root; says what the archive is where it is another one."""
    names = [record.name for record in records]
    _refuse_other_archives(names)
    parts = [name.partition("/") for name in names]
    roots = {root for root, _, _ in parts}
    inner = [rest for _, _, rest in parts]
    if "data.pkl" not in inner:
        raise CheckpointError(
            f"the file is a zip archive without a data.pkl (it holds {shown((names or [''])[0])})",
            PLAIN,
            "unpack it and upload the checkpoint inside, or " + SAVE_AGAIN,
        )
    if len(roots) > 1:
        raise _by_hand(f"has {len(roots)} roots", "one folder with all records")
    for name in inner:
        if not _KNOWN.fullmatch(name):
            raise _by_hand(f"holds a record {shown(name)}", "the records that torch.save writes")
    if len(set(inner)) < len(inner):
        twice = next(name for name in inner if inner.count(name) > 1)
        raise _by_hand(f"holds {shown(twice)} twice", "every record once")
    return inner


def _refuse_other_archives(names: list[str]) -> None:
    ends = {name.partition("/")[2] for name in names}
    if any(name.endswith(".npy") for name in names):
        raise CheckpointError(
            "the file is a numpy archive (.npz)",
            PLAIN,
            "as a checkpoint, save its arrays with safetensors.numpy.save_file(dict(arrays), "
            "'model.safetensors'); as data, upload it where the data goes",
        )
    if "constants.pkl" in ends or any(end.startswith("code/") for end in ends):
        raise CheckpointError(
            "the file is a TorchScript archive, which holds code",
            PLAIN,
            "save its weights, torch.save(torch.jit.load(path).state_dict(), 'model.pt')",
        )
    if "model.weights.h5" in names or "archive_format" in ends:
        raise CheckpointError(
            "the file is an archive of a whole model (Keras or torch.export)",
            PLAIN,
            "load it where it was made and save the weights alone, as a state dict",
        )


def _contents(view: memoryview, records: list[_Record]) -> list[memoryview]:
    """What each record holds, once its place, its size and its checksum are known to be right."""
    for record in records:
        if record.method or record.packed != record.size:
            raise _by_hand(f"holds {shown(record.name)} compressed", "records as they are")
        if record.flags & _ENCRYPTED:
            raise _by_hand(f"holds {shown(record.name)} encrypted", "records in the clear")
    starts = [_start(view, record) for record in records]
    at = 0
    for record, start in sorted(zip(records, starts, strict=True), key=lambda pair: pair[1]):
        if record.offset < at:
            raise _by_hand(f"holds {shown(record.name)} over another one", "one after the other")
        at = start + record.size
    contents = [view[s : s + r.size] for r, s in zip(records, starts, strict=True)]
    for record, content in zip(records, contents, strict=True):
        if zlib.crc32(content) != record.crc:
            raise _damaged(f"the checksum of {shown(record.name)} does not hold")
    return contents


def _start(view: memoryview, record: _Record) -> int:
    """Where a record's bytes begin: behind its own header, which must agree with the directory."""
    outside = _damaged(f"{shown(record.name)} lies outside of it")
    if record.offset + _LOCAL.size > len(view):
        raise outside
    head = _LOCAL.unpack_from(view, record.offset)
    start = record.offset + _LOCAL.size
    name = bytes(view[start : start + head[9]])
    if head[0] != b"PK\x03\x04" or name != record.name.encode() or head[3] != record.method:
        raise _damaged(f"{shown(record.name)} is not where its list of records says")
    start += head[9] + head[10]
    if start + record.size > len(view):
        raise outside
    return start


def _damaged(what: str) -> CheckpointError:
    return CheckpointError(
        f"the file is cut off or damaged: {what}",
        "a whole torch.save archive",
        "upload it again, or " + SAVE_AGAIN,
    )


def _by_hand(what: str, expected: str) -> CheckpointError:
    return CheckpointError(f"the file's zip archive {what}", expected, SAVE_AGAIN)
