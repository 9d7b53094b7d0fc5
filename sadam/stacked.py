"""Losses and gradients of many runs at once, each run on its seed's mini-batch."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.func import vmap

from probes.evaluators.precision import whole_float32
from probes.layout import Batch
from probes.memory import footprint
from probes.objective import Objective

__all__ = ["Stacked"]


class Stacked:
    """An objective at points (N, S, P): N points of each of S seeds.

    The points of a seed see one mini-batch, which is never copied for them. Networks go through
    `vmap` in chunks of seeds and points that fit the objective's memory budget; on a CPU those with
    large activations one after the other, as convolutions of many runs have no fast form there.

    Args:
        objective: the loss; a network must allow `vmap`.
        sample: the mini-batch of one seed, to measure memory on; None for a function.
        own: whether all mini-batches are the objective's own batch, for which it may have a faster
            evaluator of losses.

    Attributes:
        rounds_otherwise: whether `losses` and `losses_and_gradients` round differently.

    Raises:
        ValueError: the network does not allow `vmap`; it says why.
    """

    def __init__(self, objective: Objective, sample: Batch | None, *, own: bool = False) -> None:
        if sample is not None and not objective.supports_vmap:
            raise ValueError(
                "this network cannot be trained as a stack of runs, which needs torch.func.vmap: "
                f"{objective.why} Train it with sadam.SAdam instead."
            )
        self._objective = objective
        self.rounds_otherwise = own and objective.evaluator == "layered"
        self._chunk, self._looped = 1, False
        if sample is not None:
            one = footprint(lambda theta: objective.loss(theta, sample), objective.theta, sample)
            self._chunk = max(1, objective.memory_bytes // one.total)
            self._looped = objective.prefers_loop(one)

    def losses(self, points: Tensor, batch: Batch | None, *, shared: bool) -> Tensor:
        """f without a gradient.

        Args:
            points: (N, S, P).
            batch: inputs and targets with a leading S; without it where shared; None: a function.
            shared: all seeds see this one batch.

        Returns:
            (N, S).
        """
        if batch is None or self.rounds_otherwise:
            return self._objective.losses(points.flatten(0, 1)).view(points.shape[:2])
        with torch.no_grad():
            (losses,) = self._in_chunks(points, batch, shared, self._values)
        return losses

    def losses_and_gradients(
        self, points: Tensor, batch: Batch | None, *, shared: bool
    ) -> tuple[Tensor, Tensor]:
        """f and its gradient, (N, S) and (N, S, P); otherwise as `losses`."""
        if batch is None:
            losses, gradients = self._objective.losses_and_gradients(points.flatten(0, 1))
            return losses.view(points.shape[:2]), gradients.view_as(points)
        losses, gradients = self._in_chunks(points, batch, shared, self._slopes)
        return losses, gradients

    def _in_chunks(
        self,
        points: Tensor,
        batch: Batch,
        shared: bool,
        evaluate: Callable[[Tensor, Batch, bool], tuple[Tensor, ...]],
    ) -> list[Tensor]:
        """Evaluate in chunks of seeds, and of points within them, and put the parts together."""
        by_seed = []
        for some_seeds, part in self._by_seed(points, batch, shared):
            with whole_float32(points.device):
                rows = [evaluate(some, part, shared) for some in some_seeds.split(self._chunk)]
            by_seed.append([_joined(column, dim=0) for column in zip(*rows, strict=True)])
        return [_joined(column, dim=1) for column in zip(*by_seed, strict=True)]

    def _by_seed(
        self, points: Tensor, batch: Batch, shared: bool
    ) -> Iterator[tuple[Tensor, Batch]]:
        """Groups of seeds that fit the budget together, with their mini-batches."""
        inputs, targets = batch
        size = max(1, self._chunk // len(points))
        for start in range(0, points.shape[1], size):
            chosen = slice(start, start + size)
            yield points[:, chosen], batch if shared else (inputs[chosen], targets[chosen])

    def _slopes(self, points: Tensor, batch: Batch, shared: bool) -> tuple[Tensor, Tensor]:
        points = points.detach().requires_grad_()
        with torch.enable_grad():
            (losses,) = self._values(points, batch, shared)
        if not losses.requires_grad:  # constant in theta
            return losses, torch.zeros_like(points)
        # Runs do not meet, so the gradient of the sum holds each run's own; one backward pass over
        # the stack is a fifth faster here than vmap over grad_and_value.
        (gradients,) = torch.autograd.grad(losses.sum(), points)
        return losses.detach(), gradients

    def _values(self, points: Tensor, batch: Batch, shared: bool) -> tuple[Tensor]:
        n, seeds, _ = points.shape
        if self._looped:
            losses = [
                self._objective.loss(point, batch if shared else (batch[0][seed], batch[1][seed]))
                for of_seeds in points
                for seed, point in enumerate(of_seeds)
            ]
            return (torch.stack(losses).view(n, seeds),)
        if not shared and seeds == 1:
            batch, shared = (batch[0][0], batch[1][0]), True
        if shared:
            flat = vmap(self._objective.loss, in_dims=(0, None))(points.flatten(0, 1), batch)
            return (flat.view(n, seeds),)
        over_points = vmap(self._objective.loss, in_dims=(0, None))
        return (vmap(over_points, in_dims=(1, 0), out_dims=1)(points, batch),)


def _joined(parts: Sequence[Tensor], *, dim: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), dim=dim)
