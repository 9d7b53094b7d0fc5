"""What each step recorded, in bounded memory: the newest half dense, the past ever thinner."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sadam.record import MEASURED, Record
from sadam.state import State, check_same, number_in, tensor_in

__all__ = ["History"]

Array = NDArray[Any]

# Where a state holds the columns: apart from its numbers, whatever a caller names its own.
_COLUMN = "column."


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

    def append(self, record: Record, **extra: Array | float) -> None:
        """Keep what one step recorded; records come in the order of their steps.

        Args:
            record: of the step.
            extra: more columns, an array (R,) or one number a step, of the same names and shapes
                at every step. A column of numbers is (T,).

        Raises:
            ValueError: the name of a field of `Record`, or other names or shapes than before.
        """
        values = {name: getattr(record, name).detach().cpu().numpy() for name in MEASURED}
        taken = sorted(extra.keys() & {"step", *MEASURED})
        if taken:
            raise ValueError(
                f"the record has a {taken[0]} of its own; give the column another name."
            )
        more = {
            name: value if isinstance(value, np.ndarray) else np.asarray(value, dtype=np.float64)
            for name, value in extra.items()
        }
        self._rows.append(record.step, values | more)

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

    def state(self) -> dict[str, Any]:
        """All rows as tensors and numbers, see `sadam.state`; columns as "column.loss" (T, R)."""
        return self._rows.state()

    def restore(self, state: State) -> None:
        """Hold the rows of the history whose `state` this is, and thin on as it would have.

        Raises:
            ValueError: it had another capacity, lacks a field of `Record`, differs in names or
                shapes from rows that are here already, or is damaged.
        """
        self._rows.restore(state, needed=("step", *MEASURED))


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
            self._reserve(values)
        self._check(step, values)
        if self._length == self._capacity:
            self._thin()
        for name, column in self._columns.items():
            column[self._length] = values[name]
        self._ordinals[self._length] = self._appended
        self._appended += 1
        self._length += 1

    def _reserve(self, like: dict[str, Array]) -> None:
        """Make room for rows of these shapes and dtypes."""
        self._columns = {
            name: np.empty((self._capacity, *value.shape), dtype=value.dtype)
            for name, value in like.items()
        }
        self._ordinals = np.empty(self._capacity, dtype=np.int64)

    def _check(self, step: int, values: dict[str, Array]) -> None:
        columns = self._columns
        other = values.keys() ^ columns.keys()
        for name in values.keys() & columns.keys():
            value, column = values[name], columns[name]
            # numpy would spread a number over the runs, and cut a fraction off, without a word.
            if value.shape != column.shape[1:] or not np.can_cast(
                value.dtype, column.dtype, "same_kind"
            ):
                other.add(name)
        if other:
            raise ValueError(
                f"the row of step {step} differs from those before it in "
                f"{', '.join(sorted(other))}; give the same columns at every step, each of one "
                "shape."
            )

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

    def state(self) -> dict[str, Any]:
        rows = {
            _COLUMN + name: torch.tensor(column[: self._length])
            for name, column in self._columns.items()
        }
        return {
            "capacity": self._capacity,
            "appended": self._appended,
            "stride": self._stride,
            "ordinals": torch.tensor(self._ordinals[: self._length]),
            **rows,
        }

    def restore(self, state: State, needed: tuple[str, ...]) -> None:
        check_same(state, {"capacity": self._capacity})
        appended, stride = number_in(state, "appended"), number_in(state, "stride", lowest=1)
        ordinals = tensor_in(state, "ordinals", shape=(None,), dtype=torch.int64).numpy()
        length = len(ordinals)
        rising = (np.diff(ordinals, prepend=-1, append=appended) > 0).all()
        if length > self._capacity or (length and not rising):
            raise ValueError("the state's ordinals are not those of a history; make it anew.")
        columns: dict[str, Array] = {}
        if length:
            named = [name for name in state if name.startswith(_COLUMN)]
            for name in dict.fromkeys([*(_COLUMN + n for n in needed), *named]):
                dims = np.ndim(state[name]) if name in state else 1
                shape = (length, *(None,) * (dims - 1))
                columns[name.removeprefix(_COLUMN)] = tensor_in(state, name, shape=shape).numpy()
            if self._columns:
                self._check(int(columns["step"][-1]), {n: c[-1] for n, c in columns.items()})
        self._columns = {}
        self._appended, self._stride, self._length = appended, stride, length
        if length:
            self._reserve({name: column[0] for name, column in columns.items()})
            self._ordinals[:length] = ordinals
            for name, column in columns.items():
                self._columns[name][:length] = column

    @property
    def nbytes(self) -> int:
        return self._ordinals.nbytes + sum(c.nbytes for c in self._columns.values())
