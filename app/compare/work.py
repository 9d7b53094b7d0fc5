"""Runs units of work: in this process, in processes of this machine, or on a cluster, by joblib."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from app.compare.plan import PlanError
from app.compare.train import Outcome, Unit, train

#: What has to be installed for each backend besides what the project needs.
BACKENDS = {"local": (), "dask": ("dask", "distributed"), "ray": ("ray",)}

#: Is called with the index of a unit and what it found.
Done = Callable[[int, Outcome], None]
#: Is called with the index of a unit and which share of it is done; only by this process.
Within = Callable[[int, float], None]
#: Trains all units.
Trains = Callable[[Sequence[Unit], Done, Within], None]


@dataclass(frozen=True)
class Workers:
    """Where units are trained; numbers don't depend on it.

    Args:
        jobs: units at once.
        backend: "local", "dask" or "ray".
        cluster: the address of a running cluster; None: one on this machine, of `jobs` workers.
    """

    jobs: int = 1
    backend: str = "local"
    cluster: str | None = None

    def __post_init__(self) -> None:
        missing = [name for name in BACKENDS[self.backend] if find_spec(name) is None]
        if missing:
            raise PlanError(
                f"--backend {self.backend} needs {' and '.join(BACKENDS[self.backend])}, and "
                f"{missing[0]} is not installed here: pip install "
                f"{' '.join(BACKENDS[self.backend])}."
            )
        if self.cluster is not None and self.backend == "local":
            raise PlanError("--cluster was given without --backend dask or ray; add one of them.")

    @contextmanager
    def open(self) -> Iterator[Trains]:
        """Start them; see `Trains`."""
        if self.backend == "local":
            yield self._locally
        elif self.backend == "dask":
            with self._dask():
                yield self._by_joblib
        else:
            with self._ray():
                yield self._in_slices

    def _locally(self, units: Sequence[Unit], done: Done, within: Within) -> None:
        if self.jobs > 1:
            self._by_joblib(units, done, within)
            return
        for index, unit in enumerate(units):
            done(index, train(unit, partial(within, index)))

    def _by_joblib(self, units: Sequence[Unit], done: Done, _within: Within) -> None:
        from joblib import Parallel, delayed
        from joblib.externals.loky.process_executor import BrokenProcessPool

        # Backends that are no processes of this machine are set around this.
        local = {"n_jobs": self.jobs, "backend": "loky"} if self.backend == "local" else {}
        # One unit a task, each handed back as it ends, so that it can be kept.
        options: dict[str, Any] = {"return_as": "generator_unordered", "batch_size": 1} | local
        found: Any = Parallel(**options)(delayed(_numbered)(i, u) for i, u in enumerate(units))
        try:
            for index, outcome in found:
                done(index, outcome)
        except BrokenProcessPool as error:
            raise PlanError(
                f"One of {self.jobs} worker processes was ended, mostly for want of memory; run "
                "the same command again with fewer --jobs: finished seeds are kept."
            ) from error

    def _in_slices(self, units: Sequence[Unit], done: Done, _within: Within) -> None:
        """For a backend that hands back all at once: as many units as it has workers, in turn."""
        from joblib import Parallel, delayed

        for start in range(0, len(units), self.jobs):
            some = range(start, min(len(units), start + self.jobs))
            found: Any = Parallel()(delayed(_numbered)(i, units[i]) for i in some)
            for index, outcome in found:
                done(index, outcome)

    @contextmanager
    def _dask(self) -> Iterator[None]:
        from joblib import parallel_config

        distributed = import_module("distributed")
        if self.cluster is None:
            options = {"n_workers": self.jobs, "threads_per_worker": 1, "dashboard_address": None}
            cluster = distributed.LocalCluster(host="127.0.0.1", **options)
        else:
            cluster = None
        try:
            client = distributed.Client(cluster or self.cluster, timeout=20)
        except (OSError, ValueError) as error:
            raise PlanError(
                f"--cluster is {self.cluster!a}, where no dask scheduler answers; expected "
                "the address that it prints, tcp://HOST:PORT."
            ) from error
        try:
            with client, parallel_config(backend="dask", n_jobs=-1, wait_for_workers_timeout=60):
                yield
        finally:
            if cluster is not None:
                cluster.close()

    @contextmanager
    def _ray(self) -> Iterator[None]:
        from joblib import parallel_config

        ray = import_module("ray")
        import_module("ray.util.joblib").register_ray()
        where = {"address": self.cluster}
        if self.cluster is None:  # one of our own, that no other machine can reach
            where = {"num_cpus": self.jobs, "_node_ip_address": "127.0.0.1"}
        try:
            ray.init(**where, include_dashboard=False, log_to_driver=False)
        except (OSError, ValueError, RuntimeError) as error:
            raise PlanError(
                f"--cluster is {self.cluster!a}, where no ray cluster answers; expected its "
                "address, ray://HOST:PORT or auto."
            ) from error
        try:
            with parallel_config(backend="ray", n_jobs=self.jobs):
                yield
        finally:
            ray.shutdown()


def _numbered(index: int, unit: Unit) -> tuple[int, Outcome]:
    return index, train(unit)
