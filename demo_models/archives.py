"""CIFAR-10 and CIFAR-100 from the binary records that their authors publish.

They come inside the .tar.gz or unpacked; nothing is ever unpickled, and the archive is only read,
never extracted.
"""

import gzip
import tarfile
import zlib
from pathlib import Path

import numpy as np
import torch

from demo_models.data import Data, Pixels, Samples
from demo_models.published import Archive, DataError

TRAILER = 1 << 20  # bytes; a tar file ends in less than that of zeros
PIXELS = 3 * 32 * 32


def read_cifar(archive: Archive, folder: Path) -> Data:
    """Return CIFAR-10 or CIFAR-100 with its published split: 50,000 to train, 10,000 to test.

    A sample is 3072 bytes, channel by channel, row by row, and becomes numbers in the batch that
    takes it: kept so, the whole takes 184 MB, a quarter of what it would as float32.

    Args:
        archive: of `CIFAR`.
        folder: holds the published archive, which is read if it is there, or the unpacked folder.

    Raises:
        DataError: the files are damaged or incomplete.
    """
    packed = folder / archive.filename
    if packed.is_file():
        contents = _packed(archive, packed)
    else:
        contents = _unpacked(archive, folder / archive.folder)
    train, test = (_samples(archive, files, contents) for files in (archive.train, archive.test))
    return Data(train, test, archive.classes, Pixels(archive.mean, archive.std))


def _packed(archive: Archive, path: Path) -> dict[str, bytes]:
    """The record files inside the .tar.gz, read into memory, each only if its size is right."""
    wanted = {f"{archive.folder}/{file}": file for file in _expected(archive)}
    found: dict[str, bytes] = {}
    try:
        with gzip.open(path) as stream, tarfile.open(fileobj=stream, mode="r:") as members:
            for member in members:  # in one pass: gzip cannot seek cheaply
                file = wanted.get(member.name.removeprefix("./"))
                if file is None or not member.isfile():
                    continue
                _check_size(archive, file, member.size)
                content = members.extractfile(member)
                assert content is not None
                found[file] = content.read()
            stream.read(TRAILER)  # to the end, where gzip holds its check sum against the whole
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise DataError(
            f"{path.name} cannot be read ({error}); expected the {archive.title} archive as "
            f"published: delete it and run `python -m app data {archive.name}`."
        ) from error
    for file in _expected(archive):
        if file not in found:
            raise DataError(
                f"{path.name} holds no {archive.folder}/{file}; expected the {archive.title} "
                f"archive as published: delete it and run `python -m app data {archive.name}`."
            )
    return found


def _unpacked(archive: Archive, folder: Path) -> dict[str, bytes]:
    found = {}
    for file in _expected(archive):
        path = folder / file
        if not path.is_file():
            raise DataError(
                f"{folder} holds no {file}; unpack {archive.filename} again, or put the archive "
                "itself beside that folder."
            )
        _check_size(archive, file, path.stat().st_size)
        found[file] = path.read_bytes()
    return found


def _expected(archive: Archive) -> dict[str, int]:
    """Every record file with its size in bytes."""
    record = archive.label_bytes + PIXELS
    return {file: records * record for file, records in (*archive.train, *archive.test)}


def _check_size(archive: Archive, file: str, size: int) -> None:
    expected = _expected(archive)[file]
    if size != expected:
        raise DataError(
            f"{file} has {size:,} bytes; expected {expected:,} for {archive.title}: the file is "
            "cut off or another one, so get it again."
        )


def _samples(
    archive: Archive, files: tuple[tuple[str, int], ...], contents: dict[str, bytes]
) -> Samples:
    """The records of some files, each taken out of `contents` so that it is not held twice."""
    count = sum(records for _, records in files)
    pixels = np.empty((count, PIXELS), np.uint8)
    labels = np.empty(count, np.int64)
    start = 0
    for file, records in files:
        rows = np.frombuffer(contents.pop(file), np.uint8).reshape(records, -1)
        own = slice(start, start + records)
        labels[own] = rows[:, archive.label_bytes - 1]
        pixels[own] = rows[:, archive.label_bytes :]
        _check_labels(archive, file, labels[own])
        start += records
    return torch.from_numpy(pixels), torch.from_numpy(labels)


def _check_labels(archive: Archive, file: str, labels: np.ndarray) -> None:
    wrong = np.flatnonzero(labels >= archive.classes)
    if len(wrong):
        raise DataError(
            f"{file} has label {labels[wrong[0]]} at record {wrong[0]}; expected 0 to "
            f"{archive.classes - 1}: the file is damaged, so get it again."
        )
