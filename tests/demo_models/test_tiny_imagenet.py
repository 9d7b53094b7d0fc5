"""Tiny ImageNet's reader: a small folder of the published layout, whole and damaged."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from demo_models.data import Pixels
from demo_models.published import TINY_FOLDER, DataError
from demo_models.tiny_imagenet import MEAN, STD, read_tiny_imagenet

CLASSES = ("n02", "n01", "n03")  # not in order: labels follow wnids.txt
COLOURS = ((200, 30, 60), (10, 220, 90), (120, 120, 120))


def image(path: Path, colour: tuple[int, int, int], side: int = 64, mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    made = Image.new("RGB", (side, side), colour).convert(mode)
    made.save(path, "JPEG", quality=95)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / TINY_FOLDER
    for name, colour in zip(CLASSES, COLOURS, strict=True):
        for i in range(3):
            image(root / "train" / name / "images" / f"{name}_{i}.JPEG", colour)
    lines = []
    for i in range(4):
        image(root / "val" / "images" / f"val_{i}.JPEG", COLOURS[i % 3])
        lines.append(f"val_{i}.JPEG\t{CLASSES[i % 3]}\t0\t0\t62\t62\n")
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
    (root / "wnids.txt").write_text("\n".join(CLASSES) + "\n")
    return root


def refusal(root: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_tiny_imagenet(root.parent)
    return str(caught.value)


def test_images_become_bytes_and_labels_in_a_fixed_shuffle(root: Path) -> None:
    data = read_tiny_imagenet(root.parent)
    assert (data.classes, data.train[0].shape) == (3, (9, 3 * 64 * 64))
    labels = data.train[1].tolist()
    assert sorted(labels) == [0, 0, 0, 1, 1, 1, 2, 2, 2] != labels, "not class by class"
    assert read_tiny_imagenet(root.parent).train[1].tolist() == labels
    assert data.test[1].tolist() == [0, 1, 2, 0]
    assert (data.train[0].dtype, data.train[1].dtype) == (torch.uint8, torch.int64)
    assert data.pixels == Pixels(MEAN, STD)
    for inputs, found in (data.train, data.test):
        means = inputs.view(len(found), 3, -1).float().mean(2)
        # JPEG keeps a plain colour to about two of 255 levels.
        np.testing.assert_allclose(means.numpy(), np.array(COLOURS)[found], atol=3)


def test_grey_images_have_three_equal_channels(root: Path) -> None:
    image(root / "val" / "images" / "val_0.JPEG", (90, 90, 90), mode="L")
    inputs, _ = read_tiny_imagenet(root.parent).test
    pixels = inputs[0].view(3, -1).float()
    torch.testing.assert_close(pixels, torch.full((3, 4096), 90.0), rtol=0, atol=1.5)


def test_fewer_images_a_class_can_be_read(root: Path) -> None:
    data = read_tiny_imagenet(root.parent, per_class=2)
    assert sorted(data.train[1].tolist()) == [0, 0, 1, 1, 2, 2]
    assert len(data.test[1]) == 4
    with pytest.raises(ValueError, match=r"per_class is 0; expected at least 1, or None for all\."):
        read_tiny_imagenet(root.parent, per_class=0)


def test_a_truncated_image_is_named(root: Path) -> None:
    path = root / "val" / "images" / "val_2.JPEG"
    path.write_bytes(path.read_bytes()[:-200])
    expected = "val_2.JPEG is no whole JPEG image; expected 64 x 64 pixels: unpack the data set "
    assert refusal(root) == expected + "again."
    path.write_bytes(b"not an image")
    assert refusal(root) == expected + "again."
    Image.new("RGB", (64, 64)).save(path, "PNG")
    assert refusal(root) == expected + "again."


def test_an_image_of_another_size_is_named(root: Path) -> None:
    image(root / "train" / "n01" / "images" / "n01_1.JPEG", (1, 2, 3), side=32)
    assert refusal(root) == (
        "n01_1.JPEG is 32 x 32; expected 64 x 64 pixels: unpack the data set again."
    )


def test_missing_labels_are_named(root: Path) -> None:
    annotations = root / "val" / "val_annotations.txt"
    whole = annotations.read_text()
    annotations.write_text("".join(whole.splitlines(keepends=True)[:3]))
    assert refusal(root) == (
        "val_annotations.txt has no label for val_3.JPEG; expected one for each of the 4 images: "
        "unpack the data set again."
    )
    annotations.write_text(whole.replace("n03", "n99"))
    assert refusal(root) == (
        "val_annotations.txt gives val_2.JPEG the class 'n99'; expected one of the 3 in wnids.txt: "
        "unpack the data set again."
    )
    annotations.unlink()
    assert "val holds no val_annotations.txt; expected the folder tiny" in refusal(root)


def test_missing_parts_are_named(root: Path) -> None:
    shutil.rmtree(root / "train" / "n03")
    assert "n03/images holds no .JPEG image; expected the folder tiny-imag" in refusal(root)
    (root / "wnids.txt").unlink()
    assert "holds no wnids.txt; expected the folder tiny-imagenet-200 as publ" in refusal(root)
