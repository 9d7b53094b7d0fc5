"""The parameters along a run, in bounded memory: the last steps dense, the past in pairs."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sadam.state import State, check_same, number_in, tensor_in

__all__ = ["Snapshots"]

Array = NDArray[np.float32]

# Fewer than this would not even show one chattering back and forth beside the beginning.
_LEAST = 8


class Snapshots:
    """Parameters (L, P) of the shown seed's lanes, a read-only array a step.

    The newest `dense` steps are all held. Older ones are kept in pairs (t, t + 1), since a view of
    step t needs the update after it too, at an even stride that doubles whenever there are too
    many; the pair (0, 1) is never lost. Where `limit_bytes` is too short for dense + thinned
    snapshots, the past gets at most half of what fits and the newest steps all the rest.

    Arrays are handed out without copying and never change. One thread writes; others may read at
    any time without a lock, since each append puts a whole new set in place of the last.

    Args:
        dense: newest steps held without a gap, at least 4; 200 is as far as the page looks back
            step by step.
        thinned: older snapshots at most, at least 4.
        limit_bytes: memory of all snapshots. 200 dense steps of the default network (three lanes
            of about 9,000 float32) take 22 MB and 64 older ones 7, hence 32 and not the 8 that
            the design first meant for 64 in all.

    Raises:
        ValueError: fewer than 4 dense or thinned snapshots.
    """

    def __init__(self, dense: int = 200, thinned: int = 64, limit_bytes: int = 32 << 20) -> None:
        if dense < 4 or thinned < 4:
            raise ValueError(
                f"the snapshots were given {dense} dense and {thinned} thinned steps; give at "
                "least 4 of each."
            )
        self._dense = dense
        self._thinned = thinned
        self._limit_bytes = limit_bytes
        self._held: dict[int, Array] = {}
        self._stride = 2

    def __len__(self) -> int:
        return len(self._held)

    def append(self, step: int, theta: Tensor) -> None:
        """Keep a float32 copy of the parameters (L, P) at a step; steps come in order.

        Raises:
            ValueError: the memory holds fewer than 8 snapshots of this size, the step is not
                after the last one, or the parameters have another shape than before.
        """
        values = _frozen(theta)
        held = self._held
        if held:
            last, known = next(reversed(held.items()))
            if step <= last or values.shape != known.shape:
                raise ValueError(
                    f"a snapshot of step {step} and shape {values.shape} was given after one of "
                    f"step {last} and shape {known.shape}; give later steps of one run."
                )
        dense, thinned = self._room(values.nbytes)
        self._held = self._thin(held | {step: values}, step - dense, thinned)

    def _room(self, nbytes: int) -> tuple[int, int]:
        """How many dense and how many thinned snapshots of this size are held."""
        fitting = self._limit_bytes // max(nbytes, 1)
        if fitting < _LEAST:
            raise ValueError(
                f"a snapshot takes {nbytes:,} bytes and {self._limit_bytes:,} are meant for all, "
                f"which must hold at least {_LEAST}; show fewer lanes, a smaller network, or raise "
                "limit_bytes."
            )
        thinned = min(self._thinned, fitting // 2)
        return min(self._dense, fitting - thinned), thinned

    def _thin(self, held: dict[int, Array], newest_old: int, thinned: int) -> dict[int, Array]:
        """What stays when everything up to `newest_old` is past."""
        past = [step for step in held if step <= newest_old]
        while sum(self._stays(step) for step in past) > thinned:
            self._stride *= 2
        return {t: theta for t, theta in held.items() if t > newest_old or self._stays(t)}

    def _stays(self, step: int) -> bool:
        return step % self._stride < 2

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps that are held, increasing."""
        return tuple(self._held)

    def at(self, step: int) -> Array | None:
        """The parameters (L, P) at a step, or None where it is not held."""
        return self._held.get(step)

    def nearest(self, step: int) -> int:
        """The held step that is nearest, the earlier of two that are equally near.

        Raises:
            ValueError: no step is held.
        """
        held = self._held
        if not held:
            raise ValueError("no snapshot is held yet; append one before asking for the nearest.")
        return min(held, key=lambda t: abs(t - step))

    def items(self) -> list[tuple[int, Array]]:
        """Steps and parameters, increasing."""
        return list(self._held.items())

    @property
    def nbytes(self) -> int:
        """Bytes of all snapshots."""
        return sum(values.nbytes for values in self._held.values())

    def state(self) -> dict[str, Any]:
        """All snapshots as tensors and numbers, see `sadam.state`: steps (N,), thetas (N, L, P)."""
        held = self._held
        thetas = np.stack(list(held.values())) if held else np.empty((0, 0, 0), np.float32)
        return {
            "dense": self._dense,
            "thinned": self._thinned,
            "limit_bytes": self._limit_bytes,
            "stride": self._stride,
            "steps": torch.tensor(list(held), dtype=torch.int64),
            "thetas": torch.from_numpy(thetas),
        }

    def restore(self, state: State) -> None:
        """Hold what the snapshots held whose `state` this is, and go on as they would have.

        Raises:
            ValueError: they had other limits, another shape than snapshots that are here already,
                or the state is damaged.
        """
        limits = ("dense", "thinned", "limit_bytes")
        check_same(state, {name: getattr(self, f"_{name}") for name in limits})
        stride = number_in(state, "stride", lowest=2)
        steps = tensor_in(state, "steps", shape=(None,), dtype=torch.int64).tolist()
        thetas = tensor_in(state, "thetas", shape=(len(steps), None, None), dtype=torch.float32)
        if any(b <= a for a, b in zip([-1, *steps], steps, strict=False)):
            raise ValueError("the state's steps do not increase from 0 on; make the state anew.")
        for known in list(self._held.values())[:1]:
            if steps and thetas.shape[1:] != known.shape:
                raise ValueError(
                    f"the state's snapshots have shape {tuple(thetas.shape[1:])} and those here "
                    f"{known.shape}; restore it beside a run of the same arguments."
                )
        if steps:
            dense, thinned = self._room(thetas[0].nbytes)
            if len(steps) > dense + thinned:
                raise ValueError(
                    f"the state holds {len(steps)} snapshots and there is room for "
                    f"{dense + thinned}; make the state anew."
                )
        self._stride = stride
        # Each an array of its own, so that one that is dropped later frees its memory.
        self._held = {t: _frozen(theta) for t, theta in zip(steps, thetas, strict=True)}


def _frozen(theta: Tensor) -> Array:
    """A read-only float32 copy."""
    values = theta.detach().cpu().float().numpy().copy()
    values.flags.writeable = False
    return values
