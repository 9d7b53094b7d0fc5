"""Mini-batches as a pure function of (seed, step), so that any step can be replayed."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

__all__ = ["Batches"]

# Keeps the shuffling's stream apart from other streams that start from the same seed.
_STREAM = 0x62617463


class Batches:
    """Epoch-wise shuffling without replacement, one stream a seed.

    An epoch is N // size batches; the samples left over by its shuffle wait for the next one. When
    size reaches N every batch is the whole pool, unshuffled and shared by all seeds.

    Args:
        inputs: the pool's inputs (N, ...).
        targets: the pool's targets (N, ...), on the same device.
        size: samples a batch B, at least 1.
        seeds: S whole numbers >= 0; the same seed gives the same batches anywhere.
        numbers: what makes the inputs of a batch of those of the pool, which may be kept as bytes;
            None takes them as they are.

    Raises:
        ValueError: an empty pool, inputs and targets of different length, a bad size or bad seeds.
    """

    def __init__(
        self,
        inputs: Tensor,
        targets: Tensor,
        size: int,
        seeds: Sequence[int],
        *,
        numbers: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        if len(inputs) == 0 or len(inputs) != len(targets):
            raise ValueError(
                f"there are {len(inputs)} inputs and {len(targets)} targets; "
                "give one target an input, and at least one of each."
            )
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise ValueError(f"the batch size is {size!r}; give a whole number of at least 1.")
        self.size = min(size, len(inputs))
        self.full = self.size == len(inputs)
        self._numbers = numbers
        self.inputs = self._as_numbers(inputs) if self.full else inputs
        self.targets = targets
        self.seeds = check_seeds(seeds)
        self.per_epoch = len(inputs) // self.size
        self._epoch = -1
        self._order = torch.empty(0)

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """The batch of every seed at step (from 0).

        Returns:
            inputs (S, B, ...) and targets (S, B, ...); the pool itself, without the seed
            dimension, where `full`.
        """
        if step < 0:
            raise ValueError(f"the step is {step}; steps count from 0.")
        if self.full:
            return self.inputs, self.targets
        epoch, place = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            self._order = torch.stack([self._shuffle(seed, epoch) for seed in self.seeds])
            self._epoch = epoch
        chosen = self._order[:, place * self.size : (place + 1) * self.size]
        return self._as_numbers(self.inputs[chosen]), self.targets[chosen]

    def _as_numbers(self, inputs: Tensor) -> Tensor:
        return inputs if self._numbers is None else self._numbers(inputs)

    def _shuffle(self, seed: int, epoch: int) -> Tensor:
        mixed = np.random.SeedSequence([_STREAM, seed, epoch]).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(mixed[0]))
        return torch.randperm(len(self.inputs), generator=generator).to(self.inputs.device)


def check_seeds(seeds: Sequence[int]) -> tuple[int, ...]:
    """The seeds as a tuple, once each is a whole number >= 0 and none comes twice.

    Raises:
        ValueError: no seed, a seed that is no whole number >= 0, or one given twice.
    """
    if len(seeds) == 0:
        raise ValueError("no seed was given; give at least one whole number of at least 0.")
    for seed in seeds:
        if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
            raise ValueError(f"a seed is {seed!r}; give whole numbers of at least 0.")
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"the seeds are {list(seeds)}; give each seed once.")
    return tuple(seeds)
