"""The kept table: result.json, written by `make score` and read by the page."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from app.score.protocol import PAIRS, SCORES, Protocol

ROOT = Path(__file__).resolve().parents[2]
RESULT = Path(__file__).with_name("result.json")


class KeptError(ValueError):
    """The kept table can't be shown; the text says why and what to do."""


@dataclass(frozen=True)
class Auc:
    """An AUC and its interval.

    Args:
        value: in [0, 1].
        low: lower end.
        high: upper end.
    """

    value: float
    low: float
    high: float

    def overlaps(self, other: Auc) -> bool:
        """Whether both intervals have a value in common."""
        return self.low <= other.high and other.low <= self.high


@dataclass(frozen=True)
class Row:
    """One score in one setting.

    Args:
        seed: of functions and directions.
        size: P.
        distance: t; None is random.
        score: its key.
        aucs: one for each of `PAIRS`.
        unresolved: share of the functions without a value: smooth, kink, jump.
        draws: directions, or sampled gradients.
        forwards: passes spent at a point.
        milliseconds: at a point, median over the functions, on one thread.
    """

    seed: int
    size: int
    distance: float | None
    score: str
    aucs: tuple[Auc, ...]
    unresolved: tuple[float, ...]
    draws: int
    forwards: int
    milliseconds: float


@dataclass(frozen=True)
class Kept:
    """Everything `make score` found, and what it was computed with.

    Args:
        date: ISO, of the computation.
        version: of Chatterscope.
        libraries: version by name.
        sources: digest of the code, see `app.score.sources`.
        protocol: as it was.
        ranges: of r and of what the functions draw, by their names.
        rows: every seed, setting and score.
    """

    date: str
    version: str
    libraries: dict[str, str]
    sources: str
    protocol: Protocol
    ranges: dict[str, tuple[float, float]]
    rows: tuple[Row, ...]

    def table(self, seed: int, size: int, distance: float | None) -> list[Row]:
        """One setting's rows, in the order of `SCORES`."""
        at = {
            row.score: row
            for row in self.rows
            if (row.seed, row.size, row.distance) == (seed, size, distance)
        }
        return [at[score.key] for score in SCORES]

    def repeated(self) -> tuple[int, int]:
        """How many AUCs of the first two seeds have overlapping intervals, and of how many."""
        first, second = self.protocol.seeds[:2]
        overlaps = [
            one.overlaps(other)
            for setting in self.protocol.settings
            for row, again in zip(
                self.table(first, *setting), self.table(second, *setting), strict=True
            )
            for one, other in zip(row.aucs, again.aucs, strict=True)
        ]
        return sum(overlaps), len(overlaps)


def save(kept: Kept, path: Path = RESULT) -> None:
    """Write the table, a row a line."""
    whole = asdict(kept)
    rows = ",\n".join(f"  {json.dumps(row)}" for row in whole.pop("rows"))
    head = json.dumps(whole, indent=1, ensure_ascii=False).removesuffix("\n}")
    path.write_text(f'{head},\n "rows": [\n{rows}\n ]\n}}\n', encoding="utf-8")


def load(path: Path = RESULT) -> Kept:
    """Read the table.

    Raises:
        KeptError: there is none, or it is not whole.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise KeptError(
            f"{path.name} is missing, expected the kept table: run make score."
        ) from None
    except (OSError, UnicodeDecodeError):
        raise _damaged(path, "it can't be read as text") from None
    try:
        return _kept(json.loads(text))
    except json.JSONDecodeError:
        raise _damaged(path, "it is no JSON") from None
    except KeyError as missing:
        raise _damaged(path, f"{missing.args[0]!r} is missing") from None
    except (TypeError, ValueError, AttributeError) as wrong:
        raise _damaged(path, ascii(str(wrong))[1:-1]) from None


def version() -> str:
    """Chatterscope's version: the newest heading of its changelog."""
    found = re.search(
        r"^## \[?([^\]\s]+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE
    )
    return found.group(1) if found else "unknown"


def _damaged(path: Path, why: str) -> KeptError:
    return KeptError(f"{path.name} is damaged ({why}), expected the kept table: run make score.")


def _kept(data: dict[str, Any]) -> Kept:
    numbers: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in data["protocol"].items()
    }
    kept = Kept(
        date=str(data["date"]),
        version=str(data["version"]),
        libraries={str(name): str(number) for name, number in data["libraries"].items()},
        sources=str(data["sources"]),
        protocol=Protocol(**numbers),
        ranges={
            str(name): (float(low), float(high)) for name, (low, high) in data["ranges"].items()
        },
        rows=tuple(_row(row) for row in data["rows"]),
    )
    found = [(row.seed, row.size, row.distance, row.score) for row in kept.rows]
    expected = [
        (seed, *setting, score.key)
        for seed in kept.protocol.seeds
        for setting in kept.protocol.settings
        for score in SCORES
    ]
    if len(kept.protocol.seeds) < 2:
        raise ValueError("its protocol has no second seed")
    if found != expected:
        raise ValueError(f"{len(found)} rows are not the {len(expected)} of its protocol")
    return kept


def _row(data: dict[str, Any]) -> Row:
    aucs = tuple(Auc(**{end: float(x) for end, x in auc.items()}) for auc in data["aucs"])
    unresolved = tuple(float(share) for share in data["unresolved"])
    shares = [x for auc in aucs for x in (auc.value, auc.low, auc.high)] + list(unresolved)
    if len(aucs) != len(PAIRS) or len(unresolved) != 3:
        raise ValueError("a row has not three AUCs and three shares")
    if not all(0.0 <= x <= 1.0 for x in shares) or not math.isfinite(data["milliseconds"]):
        raise ValueError("an AUC or a share is not between 0 and 1, or a time is not finite")
    whole = {name: int(data[name]) for name in ("draws", "forwards")}
    return Row(**{**data, **whole, "aucs": aucs, "unresolved": unresolved})
