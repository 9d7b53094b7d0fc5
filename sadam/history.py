"""What each step recorded, in bounded memory: the newest half dense, the past ever thinner."""

from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sadam.record import Record

__all__ = ["History"]

Array = NDArray[Any]


class History:
    """Records as columns (T, R[, J]), bounded; the parameters themselves are in `Snapshots`.

    Whenever all rows are taken, the older half is thinned to every second, fourth, eighth... row.
    So the newest half of the capacity always holds every step, the first step is never lost, and
    the past keeps its whole span, evenly, at a falling resolution.

    Every array handed out is a copy. One thread writes; a reader in another thread needs a lock.

    Args:
        capacity: rows kept, at least 4; 4096 steps of three lanes and one seed take under 3 MB.

    Raises:
        ValueError: a capacity below 4.
    """

    def __init__(self, capacity: int = 4096) -> None:
        if capacity < 4:
            raise ValueError(f"the history was given {capacity} rows; give at least 4.")
        self._rows = _Thinned(capacity)

    def __len__(self) -> int:
        return len(self._rows)

    def append(self, record: Record, **extra: Array) -> None:
        """Keep what one step recorded; records come in the order of their steps.

        Args:
            record: of the step.
            extra: more columns (R,), of the same names at every step.

        Raises:
            ValueError: other names than before.
        """
        values = {
            field.name: getattr(record, field.name).detach().cpu().numpy()
            for field in fields(record)
            if field.name != "step"
        }
        self._rows.append(record.step, values | extra)

    @property
    def steps(self) -> Array:
        """The steps of the rows kept, (T,)."""
        return self._rows.column("step")

    def column(self, name: str) -> Array:
        """One field of `Record`, or one given beside it, over the rows kept, (T, R) or (T, R, J).

        Raises:
            KeyError: no such field; it lists those there are.
        """
        return self._rows.column(name)

    def window(self, n: int) -> dict[str, Array]:
        """The last n steps of every field, dense: fewer where fewer are held without a gap."""
        steps = self._rows.column("step")
        dense = int(np.argmax(np.append(np.diff(steps)[::-1] != 1, True))) + 1
        return self._rows.last(min(n, dense, len(steps)))

    @property
    def nbytes(self) -> int:
        """Bytes reserved for the rows."""
        return self._rows.nbytes


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

    def append(self, step: int, values: dict[str, Array]) -> None:
        values = {"step": np.asarray(step, dtype=np.int64)} | values
        if not self._columns:
            self._columns = {
                name: np.empty((self._capacity, *value.shape), dtype=value.dtype)
                for name, value in values.items()
            }
            self._ordinals = np.empty(self._capacity, dtype=np.int64)
        if values.keys() != self._columns.keys():
            other = ", ".join(sorted(values.keys() ^ self._columns.keys()))
            raise ValueError(
                f"the row of step {step} differs from those before it in {other}; "
                "give the same columns at every step."
            )
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
