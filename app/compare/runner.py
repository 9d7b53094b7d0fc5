"""Trains what is not kept yet, keeps it, and says how long it takes: the `Run` of a command."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from app.compare.comparison import COARSELY, FINALLY, FINELY
from app.compare.kept import Store
from app.compare.plan import Plan, PlanError
from app.compare.progress import Bar
from app.compare.train import Outcome, Unit
from app.compare.tuning import COARSE
from app.compare.work import Trains


class Runner:
    """Gives units to workers and keeps what comes back.

    Args:
        train: from `Workers.open`.
        folders: where each plan's finished units are.
        bar: is drawn after every unit.
        warn: told in a sentence what was left out.
    """

    def __init__(
        self,
        train: Trains,
        folders: Mapping[Plan, Path],
        bar: Bar,
        warn: Callable[[str], None],
    ) -> None:
        self._train, self._bar = train, bar
        self._stores = {plan: Store(folder, warn) for plan, folder in folders.items()}
        self._done = 0
        self._expected = _expected(list(folders))

    def __call__(self, units: Sequence[tuple[Plan, Unit]], what: str) -> Iterator[Outcome]:
        """Train and keep all units, then give their outcomes in order, read back one by one."""
        self._expected[what] = sum(len(unit.pairs) for _, unit in units)
        missing = [(plan, unit) for plan, unit in units if self._stores[plan].load(unit) is None]
        kept = self._expected[what] - sum(len(unit.pairs) for _, unit in missing)
        self._done += kept
        self._bar.free += kept

        def done(index: int, outcome: Outcome) -> None:
            plan, unit = missing[index]
            self._stores[plan].save(unit, outcome)
            self._done += len(unit.pairs)
            self._show(what)

        def within(index: int, share: float) -> None:
            self._show(what, share * len(missing[index][1].pairs))

        if units:
            self._show(what)
        if missing:  # else no worker is started
            self._train([unit for _, unit in missing], done, within)
        return (self._found(plan, unit) for plan, unit in units)

    def _found(self, plan: Plan, unit: Unit) -> Outcome:
        outcome = self._stores[plan].load(unit)
        if outcome is None:
            raise PlanError(
                "A finished seed can't be read back from the folder of --out; expected that nobody "
                "else writes there: run the same command again."
            )
        return outcome

    def _show(self, what: str, more: float = 0.0) -> None:
        self._bar.show(self._done + more, max(1, sum(self._expected.values())), what)


def _expected(plans: Sequence[Plan]) -> dict[str, int]:
    """Runs of each round, guessed where they depend on an earlier one."""
    runs: dict[str, int] = {COARSELY: 0, FINELY: 0, FINALLY: 0}
    for plan in plans:
        each = len(plan.experiment.lanes) * plan.experiment.seeds
        runs[FINALLY] += each
        if plan.rates is not None:
            runs[COARSELY] += each * len(plan.rates.coarse())
            runs[FINELY] += each * 2 * (COARSE - 1)
    return runs
