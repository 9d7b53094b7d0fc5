"""The caller's loss on a stack of outputs (g, classes, samples)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap
from torch.nn import functional
from torch.overrides import TorchFunctionMode

# What torch passes on from a call of cross_entropy without options.
DEFAULTS = {
    "weight": None,
    "size_average": None,
    "ignore_index": -100,
    "reduce": None,
    "reduction": "mean",
    "label_smoothing": 0.0,
}

LossFn = Callable[[Any, Any], Tensor]
Criterion = Callable[[Tensor], Tensor]


def stacked_criterion(loss_fn: LossFn, sample: Tensor, targets: Tensor) -> Criterion:
    """The loss of each output of a stack.

    Args:
        loss_fn: (output (samples, classes), targets) -> scalar.
        sample: one output, (samples, classes), to see on what loss_fn does.
        targets: of all samples.

    Returns:
        (g, classes, samples) -> (g,); it may overwrite the outputs.
    """
    if is_cross_entropy(loss_fn, sample, targets) and _are_classes(targets, sample):
        return CrossEntropy(targets)
    over_stack = vmap(loss_fn, in_dims=(0, None))
    # A copy, because the loss may be a view of the outputs, whose buffer is used again.
    return lambda outputs: over_stack(outputs.transpose(1, 2), targets).clone()


class CrossEntropy:
    """Mean cross entropy; samples stand innermost, so that every pass over them is vectorised.

    Args:
        targets: (samples,) int64 classes, none of them ignored.
    """

    def __init__(self, targets: Tensor) -> None:
        samples = len(targets)
        self._places = targets * samples + torch.arange(samples, device=targets.device)

    def __call__(self, outputs: Tensor) -> Tensor:
        """(g, classes, samples) -> (g,); overwrites the outputs."""
        outputs.sub_(outputs.amax(1, keepdim=True))
        # Subtracted sample by sample: a small mean of large numbers would lose its last digits.
        own = outputs.flatten(1).index_select(1, self._places)
        return outputs.exp_().sum(1).log_().sub_(own).mean(1)


class _Calls(TorchFunctionMode):
    """Notes every torch function that is called, with its arguments and result."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Any, dict[str, Any], Tensor]] = []

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        names = ("input", "target")
        self.seen.append((func, dict(zip(names, args, strict=False)) | (kwargs or {}), result))
        return result


def is_cross_entropy(loss_fn: LossFn, output: Tensor, targets: Tensor) -> bool:
    """Whether loss_fn calls torch's mean cross entropy on its arguments, and nothing else.

    So it is recognised behind a wrapper or as `nn.CrossEntropyLoss()`. What else could turn on the
    numbers, a branch or a clamp, would be one more call.
    """
    with _Calls() as calls:
        result = loss_fn(output, targets)
    if len(calls.seen) != 1:
        return False
    func, given, value = calls.seen[0]
    on_these = given.pop("input", None) is output and given.pop("target", None) is targets
    return func is functional.cross_entropy and result is value and on_these and given == DEFAULTS


def _are_classes(targets: Tensor, output: Tensor) -> bool:
    """Whether targets are classes of all samples; torch ignores -100 and refuses other numbers."""
    fits = targets.dtype == torch.int64 and targets.shape == output.shape[:1]
    return (
        fits
        and len(targets) > 0
        and 0 <= int(targets.min()) <= int(targets.max()) < output.shape[1]
    )
