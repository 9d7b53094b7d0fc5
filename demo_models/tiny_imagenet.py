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

from demo_models.archives import DataError, data_folder, normalized
from demo_models.data import Data, Samples

FOLDER = "tiny-imagenet-200"
URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
SIDE = 64
# Of the training pixels in 0..1: red, green, blue.
MEAN, STD = (0.4802, 0.4481, 0.3975), (0.2770, 0.2691, 0.2821)


def load_tiny_imagenet(folder: Path | None = None, *, per_class: int | None = None) -> Data:
    """Return Tiny ImageNet: up to 100,000 images to train, 10,000 to test.

    A sample is 12288 numbers, channel by channel, row by row, normalised with `MEAN` and `STD`;
    grey images count as three equal channels. The whole takes 5.4 GB.

    Args:
        folder: that holds tiny-imagenet-200; None: CHATTERSCOPE_DATA.
        per_class: training images a class, the first by name; None: all.

    Raises:
        DataError: files are absent or damaged.
        ValueError: `per_class` is below 1.
    """
    if per_class is not None and per_class < 1:
        raise ValueError(f"per_class is {per_class!r}; expected at least 1, or None for all.")
    root = (data_folder() if folder is None else folder) / FOLDER
    if not root.is_dir():
        raise DataError(
            f"Tiny ImageNet is not in {root.parent}; unpack {URL} there, as the folder {FOLDER}, "
            "or choose a scenario on digits, which needs no files."
        )
    classes = _lines(root / "wnids.txt")
    train = [
        (path, label)
        for label, name in enumerate(classes)
        for path in _images(root / "train" / name / "images")[:per_class]
    ]
    return Data(_samples(train), _samples(_annotated(root / "val", classes)), len(classes))


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
            f"{path.parent} holds no {path.name}; expected the folder {FOLDER} as published: "
            "unpack it again."
        )
    return [line for line in path.read_text("utf-8", "replace").splitlines() if line]


def _images(folder: Path) -> list[Path]:
    found = sorted(folder.glob("*.JPEG"))
    if not found:
        raise DataError(
            f"{folder} holds no .JPEG image; expected the folder {FOLDER} as published: unpack it "
            "again."
        )
    return found


def _samples(labelled: list[tuple[Path, int]]) -> Samples:
    pixels = np.empty((len(labelled), 3 * SIDE * SIDE), np.uint8)
    for row, (path, _) in zip(pixels, labelled, strict=True):
        row[:] = _decoded(path)
    labels = torch.tensor([label for _, label in labelled])
    return normalized(torch.from_numpy(pixels), MEAN, STD), labels


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
