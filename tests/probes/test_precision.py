"""TF32 stays off for convolutions unless matrix products use it; the setting comes back."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from probes.evaluators.precision import whole_float32

GPU = torch.device("cuda")  # only named: the setting can be read without one


def setting() -> str:
    return torch.backends.cudnn.conv.fp32_precision


@pytest.fixture(autouse=True)
def products() -> Iterator[Any]:
    """The setting of matrix products; all settings come back after the test."""
    convolutions, products = torch.backends.cudnn.conv, torch.backends.cuda.matmul
    before = convolutions.fp32_precision, products.fp32_precision
    convolutions.fp32_precision, products.fp32_precision = "tf32", "ieee"
    yield products
    convolutions.fp32_precision, products.fp32_precision = before


def test_convolutions_are_whole_inside_and_as_before_outside():
    with whole_float32(GPU):
        assert setting() == "ieee"
        with whole_float32(GPU):
            pass
        assert setting() == "ieee", "the inner one has not switched it back"
    assert setting() == "tf32"


def test_an_error_switches_it_back():
    with pytest.raises(RuntimeError, match="inside"), whole_float32(GPU):
        raise RuntimeError("inside")
    assert setting() == "tf32"


def test_tf32_for_matrix_products_is_tf32_for_convolutions(products):
    products.fp32_precision = "tf32"
    with whole_float32(GPU):
        assert setting() == "tf32"


def test_nothing_is_done_for_a_cpu():
    with whole_float32(torch.device("cpu")):
        assert setting() == "tf32"
