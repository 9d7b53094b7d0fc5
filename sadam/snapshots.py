"""The parameters along a run, in bounded memory: the last steps dense, the past in pairs."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Snapshots"]

Array = NDArray[np.float32]

# Fewer dense steps than this would not even show one chattering back and forth.
_LEAST = 8


class Snapshots:
    """Parameters (L, P) of the shown seed's lanes, a read-only array a step.

    The newest `dense` steps are all held. Older ones are kept in pairs (t, t + 1), since a view of
    step t needs the update after it too, at an even stride that doubles whenever there are too
    many; the pair (0, 1) is never lost. Arrays are handed out without copying and never change, so
    a reader in another thread only needs a copy of the list.

    Args:
        dense: newest steps held without a gap; 200 is as far as the page looks back step by step.
        thinned: older snapshots at most, at least 4.
        limit_bytes: memory of all snapshots; where it is short, fewer dense steps are held. The
            default network's 200 dense steps of three lanes take 22 MB, hence 32.
    """

    def __init__(self, dense: int = 200, thinned: int = 64, limit_bytes: int = 32 << 20) -> None:
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
            ValueError: the memory holds fewer than 8 snapshots of this size.
        """
        values = theta.detach().cpu().float().numpy().copy()
        values.flags.writeable = False
        room = self._limit_bytes // max(values.nbytes, 1) - self._thinned
        if room < _LEAST:
            raise ValueError(
                f"a snapshot takes {values.nbytes:,} bytes and {self._limit_bytes:,} are meant for "
                "all; show fewer lanes, a smaller network, or raise limit_bytes."
            )
        self._held[step] = values
        self._drop(step - min(self._dense, room))

    def _drop(self, newest_old: int) -> None:
        """Thin what is not newer than `newest_old`."""
        old = [step for step in self._held if step <= newest_old]
        while sum(self._kept(step) for step in old) > self._thinned:
            self._stride *= 2
        for step in old:
            if not self._kept(step):
                del self._held[step]

    def _kept(self, step: int) -> bool:
        return step % self._stride < 2

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps that are held, increasing."""
        return tuple(self._held)

    def at(self, step: int) -> Array | None:
        """The parameters (L, P) at a step, or None where it is not held."""
        return self._held.get(step)

    def items(self) -> list[tuple[int, Array]]:
        """Steps and parameters, increasing."""
        return list(self._held.items())

    @property
    def nbytes(self) -> int:
        """Bytes of all snapshots."""
        return sum(values.nbytes for values in self._held.values())
