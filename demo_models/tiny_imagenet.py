"""Tiny ImageNet from its unpacked folder: 200 classes of 64 x 64 JPEG images.

    tiny-imagenet-200/wnids.txt                          one class a line
    tiny-imagenet-200/train/<class>/images/*.JPEG        500 a class
    tiny-imagenet-200/val/images/*.JPEG                  10,000
    tiny-imagenet-200/val/val_annotations.txt            file, class and a box, separated by tabs

Its own test split has no labels, so the validation images are the test split here.
"""

from pathlib import Path

import numpy as np
import torch

from demo_models.data import SPLIT_SEED, Data, Pixels, Samples
from demo_models.published import TINY_FOLDER, DataError

SIDE = 64
# Of the training pixels in 0..1: red, green, blue.
MEAN, STD = (0.4802, 0.4481, 0.3975), (0.2770, 0.2691, 0.2821)


def read_tiny_imagenet(folder: Path, *, per_class: int | None = None) -> Data:
    """Return Tiny ImageNet: up to 100,000 images to train, 10,000 to test.

    A sample is 12288 bytes, channel by channel, row by row, and becomes numbers in the batch that
    takes it; grey images count as three equal channels. The whole takes 1.4 GB. The training images
    come class by class, so they are shuffled, always alike: their front is the probe set, and their
    end is what tuning holds out.

    Args:
        folder: that holds tiny-imagenet-200.
        per_class: training images a class, the first by name; None: all.

    Raises:
        DataError: files are missing or damaged.
        ValueError: `per_class` is below 1.
    """
    if per_class is not None and per_class < 1:
        raise ValueError(f"per_class is {per_class!r}; expected at least 1, or None for all.")
    root = folder / TINY_FOLDER
    classes = _lines(root / "wnids.txt")
    train = [
        (path, label)
        for label, name in enumerate(classes)
        for path in _images(root / "train" / name / "images")[:per_class]
    ]
    order = np.random.default_rng(SPLIT_SEED).permutation(len(train))
    test = _samples(_annotated(root / "val", classes))
    return Data(_samples([train[i] for i in order]), test, len(classes), Pixels(MEAN, STD))


def _annotated(folder: Path, classes: list[str]) -> list[tuple[Path, int]]:
    """The validation images with their labels from val_annotations.txt."""
    number = {name: label for label, name in enumerate(classes)}
    labels: dict[str, int] = {}
    for line in _lines(folder / "val_annotations.txt"):
        file, _, rest = line.partition("\t")
        name = rest.partition("\t")[0]
        if name not in number:
            raise DataError(
                f"val_annotations.txt gives {file} the class {name!r}; expected one of the "
                f"{len(classes)} in wnids.txt: unpack the data set again."
            )
        labels[file] = number[name]
    images = _images(folder / "images")
    for path in images:
        if path.name not in labels:
            raise DataError(
                f"val_annotations.txt has no label for {path.name}; expected one for each of the "
                f"{len(images)} images: unpack the data set again."
            )
    return [(path, labels[path.name]) for path in images]


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise DataError(
            f"{path.parent} holds no {path.name}; expected the folder {TINY_FOLDER} as published: "
            "unpack it again."
        )
    return [line for line in path.read_text("utf-8", "replace").splitlines() if line]


def _images(folder: Path) -> list[Path]:
    found = sorted(folder.glob("*.JPEG"))
    if not found:
        raise DataError(
            f"{folder} holds no .JPEG image; expected the folder {TINY_FOLDER} as published: "
            "unpack it again."
        )
    return found


def _samples(labelled: list[tuple[Path, int]]) -> Samples:
    pixels = np.empty((len(labelled), 3 * SIDE * SIDE), np.uint8)
    for row, (path, _) in zip(pixels, labelled, strict=True):
        row[:] = _decoded(path)
    labels = torch.tensor([label for _, label in labelled])
    return torch.from_numpy(pixels), labels


def _decoded(path: Path) -> np.ndarray:
    """The pixels of one image, channel by channel."""
    from PIL import Image  # streamlit brings it

    try:
        with Image.open(path, formats=("JPEG",)) as image:
            if image.size != (SIDE, SIDE):
                width, height = image.size
                raise DataError(
                    f"{path.name} is {width} x {height}; expected {SIDE} x {SIDE} pixels: unpack "
                    "the data set again."
                )
            return np.asarray(image.convert("RGB")).transpose(2, 0, 1).reshape(-1)
    except (OSError, SyntaxError) as error:  # what Pillow raises for damaged files
        raise DataError(
            f"{path.name} is no whole JPEG image; expected {SIDE} x {SIDE} pixels: unpack the data "
            "set again."
        ) from error
