"""What each step recorded, in bounded memory: the newest half dense, the past ever thinner."""

from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sadam.record import Record

__all__ = ["History"]

Array = NDArray[Any]


class History:
    """Records as columns (T, R[, J]) and snapshots of the parameters, both bounded.

    Whenever all rows are taken, the older half is thinned to every second, fourth, eighth... row.
    So the newest half of the capacity always holds every step, the first step is never lost, and
    the past keeps its whole span, evenly, at a falling resolution. Snapshots are thinned the same
    way.

    Every array handed out is a copy. One thread writes; a reader in another thread needs a lock.

    Args:
        capacity: rows kept, at least 4; 4096 steps of three lanes and one seed take under 3 MB.
        snapshots: snapshots kept at most, at least 4.
        snapshot_bytes: memory of all snapshots at most; one that leaves no room for four is
            refused.

    Raises:
        ValueError: a capacity or number of snapshots below 4.
    """

    def __init__(
        self, capacity: int = 4096, *, snapshots: int = 64, snapshot_bytes: int = 8 << 20
    ) -> None:
        if capacity < 4 or snapshots < 4:
            raise ValueError(
                f"the history was given {capacity} rows and {snapshots} snapshots; "
                "give at least 4 of each."
            )
        self._rows = _Thinned(capacity)
        self._snapshots = _Thinned(snapshots)
        self._snapshot_bytes = snapshot_bytes

    def __len__(self) -> int:
        return len(self._rows)

    def append(self, record: Record) -> None:
        """Keep what one step recorded; records come in the order of their steps."""
        values = {
            field.name: getattr(record, field.name).detach().cpu().numpy()
            for field in fields(record)
            if field.name != "step"
        }
        self._rows.append(record.step, values)

    @property
    def steps(self) -> Array:
        """The steps of the rows kept, (T,)."""
        return self._rows.column("step")

    def column(self, name: str) -> Array:
        """One field of `Record` over the rows kept, (T, R) or (T, R, J).

        Raises:
            KeyError: no such field; it lists those there are.
        """
        return self._rows.column(name)

    def window(self, n: int) -> dict[str, Array]:
        """The last n steps of every field, dense: fewer where fewer are held without a gap."""
        steps = self._rows.column("step")
        dense = int(np.argmax(np.append(np.diff(steps)[::-1] != 1, True))) + 1
        return self._rows.last(min(n, dense, len(steps)))

    def snapshot(self, step: int, theta: Tensor) -> None:
        """Keep a float32 copy of the parameters (L, P) of the shown seed's lanes.

        Raises:
            ValueError: four snapshots of this size do not fit into `snapshot_bytes`.
        """
        values = theta.detach().cpu().float().numpy()
        room = self._snapshot_bytes // (values.nbytes + 16)  # and its step and ordinal
        if room < 4:
            raise ValueError(
                f"a snapshot takes {values.nbytes:,} bytes and {self._snapshot_bytes:,} are meant "
                "for all; show fewer lanes, a smaller network, or raise snapshot_bytes."
            )
        self._snapshots.limit(room)
        self._snapshots.append(step, {"theta": values})

    @property
    def snapshots(self) -> tuple[Array, Array]:
        """The steps (N,) of the snapshots and the parameters (N, L, P) at them, float32."""
        if not len(self._snapshots):
            return np.empty(0, dtype=np.int64), np.empty((0, 0, 0), dtype=np.float32)
        return self._snapshots.column("step"), self._snapshots.column("theta")

    @property
    def nbytes(self) -> int:
        """Bytes reserved for rows and snapshots."""
        return self._rows.nbytes + self._snapshots.nbytes


class _Thinned:
    """Columns of equal length whose older half is thinned, evenly, when they are full."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._columns: dict[str, Array] = {}
        self._length = 0
        self._appended = 0
        self._stride = 1
        self._ordinals = np.empty(0, dtype=np.int64)  # which append each row was

    def __len__(self) -> int:
        return self._length

    def limit(self, capacity: int) -> None:
        """Lower the capacity; only before the first row, since columns are reserved then."""
        if not self._columns:
            self._capacity = min(self._capacity, capacity)

    def append(self, step: int, values: dict[str, Array]) -> None:
        values = {"step": np.asarray(step, dtype=np.int64)} | values
        if not self._columns:
            self._columns = {
                name: np.empty((self._capacity, *value.shape), dtype=value.dtype)
                for name, value in values.items()
            }
            self._ordinals = np.empty(self._capacity, dtype=np.int64)
        if self._length == self._capacity:
            self._thin()
        for name, column in self._columns.items():
            column[self._length] = values[name]
        self._ordinals[self._length] = self._appended
        self._appended += 1
        self._length += 1

    def _thin(self) -> None:
        """Keep every stride-th append in the older half; an eighth of all rows becomes free."""
        half = self._capacity - self._capacity // 2
        allowed = half - max(1, self._capacity // 8)
        old = self._ordinals[:half]
        while np.count_nonzero(old % self._stride == 0) > allowed:
            self._stride *= 2
        kept = np.concatenate(
            [np.flatnonzero(old % self._stride == 0), np.arange(half, self._capacity)]
        )
        for column in (self._ordinals, *self._columns.values()):
            column[: len(kept)] = column[kept]
        self._length = len(kept)

    def column(self, name: str) -> Array:
        if not self._columns:
            return np.empty(0, dtype=np.int64 if name == "step" else np.float64)
        if name not in self._columns:
            raise KeyError(f"no column {name!r}; there are {', '.join(self._columns)}.")
        return self._columns[name][: self._length].copy()

    def last(self, n: int) -> dict[str, Array]:
        """The newest n rows of every column."""
        start = self._length - n
        return {name: column[start : self._length].copy() for name, column in self._columns.items()}

    @property
    def nbytes(self) -> int:
        return self._ordinals.nbytes + sum(c.nbytes for c in self._columns.values())
