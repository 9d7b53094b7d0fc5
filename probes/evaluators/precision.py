"""Convolutions in whole float32, as matrix products are.

Torch multiplies matrices in float32 unless asked, but lets cuDNN round the numbers of a convolution
to TF32, with 10 bits: a difference of two losses would then be of rounding alone.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_lock = threading.Lock()
_inside = 0
_before = ""


@contextmanager
def whole_float32(device: torch.device) -> Iterator[None]:
    """Convolutions on an NVIDIA GPU inside take TF32 only where matrix products are asked to.

    Ask by `torch.backends.cuda.matmul.fp32_precision = "tf32"`. The setting is the process's own,
    so it lasts until the last thread has left, and then is what it was.

    Args:
        device: where is computed; nothing is done for others than "cuda".
    """
    global _inside, _before  # noqa: PLW0603
    if device.type != "cuda":
        yield
        return
    convolutions = torch.backends.cudnn.conv  # pyright: ignore[reportAttributeAccessIssue]
    with _lock:
        if _inside == 0:
            _before = convolutions.fp32_precision
            asked = torch.backends.cuda.matmul.fp32_precision == "tf32"
            convolutions.fp32_precision = "tf32" if asked else "ieee"
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                convolutions.fp32_precision = _before
