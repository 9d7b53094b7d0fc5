"""How many points fit into one call: a memory budget and the size of one point."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

BUDGET_VARIABLE = "CHATTERSCOPE_MEMORY_MB"
CPU_BUDGET_MB = 256.0
ACCELERATOR_BUDGET_MB = 1024.0


class Footprint(NamedTuple):
    """Bytes that one point keeps for its backward pass: the sum, and the widest tensor."""

    total: int
    widest: int


def memory_budget(device: torch.device, memory_mb: float | None = None) -> int:
    """The bytes that one call may use.

    Args:
        device: where the points are evaluated.
        memory_mb: megabytes (1e6 bytes), above 0. None reads the environment variable
            CHATTERSCOPE_MEMORY_MB, and without it takes 256 on a CPU (small enough for a laptop,
            large enough that chunks are limited by the cache instead) or 1024 on an accelerator.

    Returns:
        The budget in bytes.

    Raises:
        ValueError: the budget is not a number above 0.
    """
    source = "memory_mb"
    value: float | str | None = memory_mb
    if value is None:
        source = f"the environment variable {BUDGET_VARIABLE}"
        default = CPU_BUDGET_MB if device.type == "cpu" else ACCELERATOR_BUDGET_MB
        value = os.environ.get(BUDGET_VARIABLE, default)
    try:
        megabytes = float(value)
    except ValueError:
        megabytes = float("nan")
    if not 0.0 < megabytes < float("inf"):
        raise ValueError(f"{source} is {value!r}, expected a number of megabytes above 0.")
    return max(1, int(megabytes * 1e6))


def footprint(
    loss: Callable[[Tensor], Tensor], theta: Tensor, shared: Sequence[Tensor]
) -> Footprint:
    """Measures what one point keeps, by one forward pass that records its saved tensors.

    Args:
        loss: (P,) -> scalar.
        theta: the point, (P,).
        shared: tensors that all points use together (the batch): not counted.

    Returns:
        The footprint; at least the bytes of theta.
    """
    common = {tensor.untyped_storage().data_ptr() for tensor in shared}
    sizes = [theta.nbytes]

    nothing = theta.new_empty(0)

    def record(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in common:
            sizes.append(tensor.nbytes)
        # Not the tensor, as no backward pass comes: a graph that holds its own results is a cycle
        # that no collector finds.
        return nothing

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(record, lambda kept: kept):
        loss(theta.detach().clone().requires_grad_())
    return Footprint(sum(sizes), max(sizes))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed; the CPU and some accelerators raise a plain RuntimeError."""
    text = str(error)
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError)
        and ("out of memory" in text or "can't allocate memory" in text)
    )


def megabytes(size: float) -> str:
    """A number of bytes as a person reads it: "1.2 GB", "35 MB"."""
    return f"{size / 1e9:.3g} GB" if size >= 1e9 else f"{size / 1e6:.3g} MB"


def in_chunks(
    evaluate: Callable[[Tensor], tuple[Tensor, ...]], points: Tensor, chunk: int
) -> tuple[list[Tensor], int]:
    """Evaluates points chunk by chunk; where memory runs out the chunk is halved.

    Args:
        evaluate: (g, P) -> tensors of g rows each.
        points: (G, P), G at least 1.
        chunk: points a call, at least 1.

    Returns:
        The tensors of G rows each, and the chunk that worked.

    Raises:
        MemoryError: not even one point fits.
    """
    parts: list[tuple[Tensor, ...]] = []
    chunk = min(chunk, len(points))
    start = 0
    while start < len(points):
        try:
            parts.append(evaluate(points[start : start + chunk]))
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if chunk == 1:
                raise MemoryError(
                    f"One point of {points.shape[1]} parameters does not fit on {points.device},"
                    " expected memory for at least one: use a smaller batch."
                ) from error
            chunk = chunk // 2
            continue
        start += chunk
    return [torch.cat(columns) for columns in zip(*parts, strict=True)], chunk
