"""CIFAR-10, CIFAR-100 and Tiny ImageNet from the files that their authors publish.

CIFAR comes as binary records, inside the .tar.gz or unpacked; nothing is ever unpickled and the
archive is only read, never extracted. Tiny ImageNet comes as its unpacked folder of JPEG images.
"""

import gzip
import os
import tarfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from demo_models.data import Data, Samples

VARIABLE = "CHATTERSCOPE_DATA"  # the environment variable that names the folder of all data
PIXELS = 3 * 32 * 32
TRAILER = 1 << 20  # bytes; a tar file ends in less than that of zeros


class DataError(ValueError):
    """Data that are absent or damaged: what was found, what was expected, what to do."""


@dataclass(frozen=True)
class Archive:
    """A published data set of 32 x 32 images: where it is, what it holds, how it is scaled.

    Args:
        name: on the command line and in scenarios.
        title: for a person.
        filename: of the published archive.
        url: where it is published.
        size: of the archive in bytes.
        sha256: of the archive.
        folder: inside the archive.
        train, test: record files of each split, with their numbers of records.
        label_bytes: before the pixels of a record; the last one is the label.
        classes: labels are 0 to classes - 1.
        mean, std: of the training pixels in 0..1, red, green, blue.
    """

    name: str
    title: str
    filename: str
    url: str
    size: int
    sha256: str
    folder: str
    train: tuple[tuple[str, int], ...]
    test: tuple[tuple[str, int], ...]
    label_bytes: int
    classes: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


_PUBLISHER = "https://www.cs.toronto.edu/~kriz/"

CIFAR: dict[str, Archive] = {
    "cifar10": Archive(
        name="cifar10",
        title="CIFAR-10",
        filename="cifar-10-binary.tar.gz",
        url=_PUBLISHER + "cifar-10-binary.tar.gz",
        size=170_052_171,
        sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        folder="cifar-10-batches-bin",
        train=tuple((f"data_batch_{part}.bin", 10_000) for part in range(1, 6)),
        test=(("test_batch.bin", 10_000),),
        label_bytes=1,
        classes=10,
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
    ),
    "cifar100": Archive(
        name="cifar100",
        title="CIFAR-100",
        filename="cifar-100-binary.tar.gz",
        url=_PUBLISHER + "cifar-100-binary.tar.gz",
        size=168_513_733,
        sha256="58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
        folder="cifar-100-binary",
        train=(("train.bin", 50_000),),
        test=(("test.bin", 10_000),),
        label_bytes=2,  # a coarse label of 20, then the fine one of 100
        classes=100,
        mean=(0.5071, 0.4865, 0.4409),
        std=(0.2673, 0.2564, 0.2762),
    ),
}


def data_folder() -> Path:
    """Return the folder that CHATTERSCOPE_DATA names.

    Raises:
        DataError: it is not set, or names no folder.
    """
    found = os.environ.get(VARIABLE, "")
    if not found or not Path(found).is_dir():
        state = f"names {found!r}, which is no folder" if found else "is not set"
        raise DataError(
            f"{VARIABLE} {state}; set it to the folder that holds the data sets, or choose a "
            "scenario on digits, which needs no files."
        )
    return Path(found)


@lru_cache(maxsize=1)
def load_cifar(name: str, folder: Path | None = None) -> Data:
    """Return CIFAR-10 or CIFAR-100 with its published split: 50,000 to train, 10,000 to test.

    A sample is 3072 numbers, channel by channel, row by row: pixels scaled to 0..1, less the
    channel's mean, divided by its standard deviation (those of the training images, see `CIFAR`).
    The whole takes 740 MB.

    Args:
        name: "cifar10" or "cifar100".
        folder: None: CHATTERSCOPE_DATA.

    Raises:
        DataError: the files are absent or damaged.
    """
    return read_cifar(CIFAR[name], data_folder() if folder is None else folder)


def read_cifar(archive: Archive, folder: Path) -> Data:
    """Return the data set of `archive` from `folder`, as `load_cifar` does.

    The published archive is read if it lies there, else the files of its own unpacked folder.

    Raises:
        DataError: the files are absent or damaged.
    """
    packed, unpacked = folder / archive.filename, folder / archive.folder
    if packed.is_file():
        contents = _packed(archive, packed)
    elif unpacked.is_dir():
        contents = _unpacked(archive, unpacked)
    else:
        raise DataError(
            f"{archive.title} is not in {folder}; put {archive.filename} there, or run "
            f"`python -m app data {archive.name}`, or choose a scenario on digits, which needs no "
            "files."
        )
    train, test = (
        [_records(archive, file, contents[file]) for file, _ in files]
        for files in (archive.train, archive.test)
    )
    return Data(_joined(archive, train), _joined(archive, test), archive.classes)


def normalized(pixels: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Return (x / 255 - mean) / std of each channel, float32.

    Args:
        pixels: (N, channels x height x width) uint8, channel by channel.
        mean, std: one number a channel, in units of 0..1.
    """
    x = pixels.to(torch.float32).view(len(pixels), len(mean), -1)
    x.sub_(255.0 * torch.tensor(mean)[:, None]).div_(255.0 * torch.tensor(std)[:, None])
    return x.flatten(1)


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


def _records(archive: Archive, file: str, content: bytes) -> tuple[np.ndarray, np.ndarray]:
    rows = np.frombuffer(content, np.uint8).reshape(-1, archive.label_bytes + PIXELS)
    labels = rows[:, archive.label_bytes - 1]
    wrong = np.flatnonzero(labels >= archive.classes)
    if len(wrong):
        raise DataError(
            f"{file} has label {labels[wrong[0]]} at record {wrong[0]}; expected 0 to "
            f"{archive.classes - 1}: the file is damaged, so get it again."
        )
    return rows[:, archive.label_bytes :], labels


def _joined(archive: Archive, parts: list[tuple[np.ndarray, np.ndarray]]) -> Samples:
    pixels = torch.from_numpy(np.concatenate([pixels for pixels, _ in parts]))
    labels = torch.from_numpy(np.concatenate([labels for _, labels in parts]).astype(np.int64))
    return normalized(pixels, archive.mean, archive.std), labels
