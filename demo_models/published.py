"""What is published where: the data sets that come as files. Loads without torch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "CHATTERSCOPE_DATA"  # the environment variable that names the folder of all data
OTHERWISE = "or choose a scenario on digits, which needs no files."


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

TINY_FOLDER = "tiny-imagenet-200"
TINY_URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"


def found(name: str) -> Path:
    """Return the folder that holds a published data set, whether whole or damaged.

    Only names are looked at, so this is quick; reading the files is what finds damage.

    Args:
        name: one of `scenario.FROM_FILES`.

    Raises:
        DataError: CHATTERSCOPE_DATA names no folder, or the data set is not in it.
    """
    if name in CIFAR:
        archive = CIFAR[name]
        title, wanted = archive.title, (archive.filename, archive.folder)
        what = f"{archive.filename}, or its unpacked folder {archive.folder}"
        how = f"run `python -m app data {name}`, which fetches it"
    else:
        title, wanted = "Tiny ImageNet", (TINY_FOLDER,)
        what, how = f"the folder {TINY_FOLDER}", f"unpack {TINY_URL} there"
    named = os.environ.get(VARIABLE, "")
    folder = Path(named)
    if not named or not folder.is_dir():
        state = f"names {named!r}, which is no folder" if named else "is not set"
        raise DataError(
            f"{title} was not found: {VARIABLE} {state}; expected it to name a folder with {what}: "
            f"set it and {how}, {OTHERWISE}"
        )
    if not any((folder / each).exists() for each in wanted):
        raise DataError(
            f"{title} was not found in {folder}, which {VARIABLE} names; expected {what}: {how}, "
            f"{OTHERWISE}"
        )
    return folder
