"""Whether weights, batches and objective fit together, before an ensemble trains with them."""

import torch
from torch import Tensor

from probes.layout import Batch
from probes.objective import Objective
from sadam.batches import Batches

__all__ = ["check_batches", "check_initial", "first_batch", "is_probe_set"]


def check_initial(initial: Tensor, seeds: int, size: int) -> None:
    """Hold the weights to finite rows, one of each seed: (seeds, size)."""
    if tuple(initial.shape) != (seeds, size):
        raise ValueError(
            f"initial has shape {tuple(initial.shape)}; give one row of {size} parameters for "
            f"each of the {seeds} seeds, shape {(seeds, size)}."
        )
    if not bool(initial.isfinite().all()):
        raise ValueError("initial holds a value that is not finite; start from finite weights.")


def check_batches(batches: Batches | None, seeds: tuple[int, ...], objective: Objective) -> None:
    """Hold the mini-batches to the runs' seeds and to the kind of data of the objective."""
    if objective.batch is None:
        if batches is not None:
            raise ValueError("the objective is a function, which has no data; give batches=None.")
        return
    if batches is None:
        raise ValueError("the objective is a network; give the Batches that it trains on.")
    if batches.seeds != seeds:
        raise ValueError(
            f"the batches are those of seeds {list(batches.seeds)} and the runs have seeds "
            f"{list(seeds)}; give both the same."
        )
    for found, expected in zip(batches.at(0), objective.batch, strict=True):
        if (found.dtype, found.device) != (expected.dtype, expected.device):
            raise ValueError(
                f"the batches hold {found.dtype} on {found.device} where the objective's own batch "
                f"holds {expected.dtype} on {expected.device}; convert the pool to that."
            )


def is_probe_set(batches: Batches | None, probe_set: Batch | None) -> bool:
    """Whether every mini-batch is the probe set, so that one evaluation serves both."""
    if batches is None or probe_set is None:
        return True  # a function has no data
    pairs = zip((batches.inputs, batches.targets), probe_set, strict=True)
    return batches.full and all(pool is own or torch.equal(pool, own) for pool, own in pairs)


def first_batch(batch: Batch | None, shared: bool) -> Batch | None:
    """The mini-batch of one seed."""
    return batch if batch is None or shared else (batch[0][0], batch[1][0])
