"""The page Checkpoint of one session: uploads are read beside, and measured in turns."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from app.checkpoints import Checkpoint, CheckpointError, read_checkpoint
from app.live.feed import Parts
from app.live.gate import GATE, Gate
from app.live.held import Held, current
from app.live.jobs import Jobs
from app.live.pulse import Pulse
from app.live.worker import Worker, log

if TYPE_CHECKING:
    from app.report.findings import Report
    from app.report.resume import Start
    from app.report.tables import Table

_numbers = itertools.count(1)

State = Literal["empty", "reading", "measuring", "finished", "cancelled", "failed"]


@dataclass(frozen=True)
class Upload:
    """One uploaded file; equal where the upload is the same.

    Args:
        key: of this very upload.
        name: as it came; shown as text, never used as a path.
        data: all of it.
    """

    key: str
    name: str = field(compare=False)
    data: bytes = field(compare=False, repr=False)


@dataclass(frozen=True)
class Request:
    """What a person asks for.

    Args:
        file: the checkpoint.
        second: another one of the same network, or None.
        data: samples, or None.
        network: a key of the networks that fit, or None for the likeliest.
        activation: of a plain stack, or None.
    """

    file: Upload
    second: Upload | None = None
    data: Upload | None = None
    network: str | None = None
    activation: str | None = None


@dataclass(frozen=True, eq=False)
class Progress:
    """Where an inspection stands.

    Args:
        state: what is being done; "cancelled" with what was measured until then.
        doing: in words of our own.
        found: what the file holds, sentences; names in them are escaped.
        networks: key -> title of every network that fits.
        network: the key of the one that is measured, or "".
        misfit: why the registered network is not among them, or "".
        start: where the lab can train on from, of a demo network; else None.
        report: as far as it goes, or None.
        message: one sentence where something was refused, else "".
    """

    state: State = "empty"
    doing: str = ""
    found: tuple[str, ...] = ()
    networks: dict[str, str] = field(default_factory=dict)
    network: str = ""
    misfit: str = ""
    start: Start | None = None
    report: Report | None = None
    message: str = ""

    @property
    def working(self) -> bool:
        """Whether there is more to come."""
        return self.state in ("reading", "measuring")


class Inspector(Worker):
    """Inspects one session's uploads: the last request makes older ones void.

    Files are read in a thread of their own, outside of the gate: a child process loads them, and
    nobody else's turn waits for it.

    Args:
        gate: shared by all workers of the process.
        name: for the log.
        pulse: of the session.
    """

    def __init__(
        self, gate: Gate = GATE, name: str = "inspector", pulse: Pulse | None = None
    ) -> None:
        super().__init__(gate, name, pulse)
        self._lock = threading.Lock()  # guards what progress() reads, and the count
        self._progress = Progress()
        self._asked = 0
        self._file: Upload | None = None
        self._known: dict[str, Checkpoint | Table] = {}
        self._jobs = Jobs(self._publish, self._refuse)
        #: Set while nothing is being read or measured.
        self.settled = threading.Event()
        self.settled.set()
        self._start_thread()

    def ask(self, request: Request) -> None:
        """Inspect these files, in place of whatever is being inspected."""
        with self._lock:
            self.settled.clear()
            self._asked += 1
            asked, same = self._asked, request.file == self._file
            self._file = request.file
            # The choice of networks stays while one of them is being measured.
            networks = self._progress.networks if same else {}
            self._progress = Progress("reading", "reading the file", networks=networks)
        self._command(self._jobs.clear, instead=True)
        threading.Thread(
            target=self._read, args=(request, asked), name=f"reader {self.name}", daemon=True
        ).start()

    def cancel(self) -> None:
        """Stop; what was measured stays."""
        with self._lock:
            self._asked += 1
            if self._progress.working:
                self._progress = replace(self._progress, state="cancelled", doing="")
            self.settled.set()
        self._command(self._jobs.clear, instead=True)

    def progress(self) -> Progress:
        """Everything that is known so far."""
        with self._lock:
            return self._progress

    # -- the reader's thread -----------------------------------------------------------------

    def _read(self, request: Request, asked: int) -> None:
        from app.report.network import NetworkProblem
        from app.report.tables import DataProblem

        try:
            files = self._files(request, asked)
            self._command(lambda: self._begin(request, files, asked))
        except (CheckpointError, DataProblem, NetworkProblem) as refusal:
            self._end(asked, str(refusal))
        except Exception:
            log.exception("%s: reading stopped", self.name)
            self._end(asked, "Reading stopped, and the server's log says why: try another file.")

    def _files(self, request: Request, asked: int) -> dict[str, Any]:
        """Every file of a request, read now or kept from the request before."""
        from app.report.tables import read_table

        def waiting(place: int) -> None:
            self._tell(asked, doing=f"waiting, place {place} in the queue")

        uploads = {"file": request.file, "second": request.second, "data": request.data}
        wanted = {name: upload for name, upload in uploads.items() if upload is not None}
        known = self._known
        found: dict[str, Any] = {}
        for name, upload in wanted.items():
            self._tell(asked, doing=f"reading the {'data' if name == 'data' else 'file'}")
            key = f"{name == 'data'}:{upload.key}"
            if key in known:
                found[name] = known[key]
            elif name == "data":
                found[name] = read_table(upload.data, upload.name)
            else:
                found[name] = read_checkpoint(upload.data, upload.name, waiting)
        self._known = {f"{n == 'data'}:{u.key}": found[n] for n, u in wanted.items()}
        return found

    def _tell(self, asked: int, **news: Any) -> None:
        """Change what progress() says, unless another request has come."""
        with self._lock:
            if asked == self._asked:
                self._progress = replace(self._progress, **news)

    def _end(self, asked: int, message: str) -> None:
        self._settle(asked, state="failed", message=message)

    def _settle(self, asked: int, **news: Any) -> None:
        """Come to rest, unless another request has come."""
        with self._lock:
            if asked == self._asked:
                self._progress = replace(self._progress, **news | {"doing": ""})
                self.settled.set()

    # -- the worker's thread -----------------------------------------------------------------

    def _begin(self, request: Request, files: dict[str, Any], asked: int) -> None:
        if asked == self._asked:
            self._tell(asked, state="measuring", doing="looking for the network")
            self._jobs.start("report", self._reports(request, files, asked))

    def _reports(
        self, request: Request, files: dict[str, Any], asked: int
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """News of `Progress`: what was found, then ever more of the report."""
        from app.live.warmup import warm_up

        warm_up()
        from app.report.measure import Second, inspect
        from app.report.networks import chosen_networks, networks_of
        from app.report.registered import registered, registered_misfit
        from app.report.resume import start_of
        from app.report.samples import best_fit
        from app.report.words import found_in_file

        checkpoint, table = files["file"], files.get("data")
        yield asked, {"found": tuple(found_in_file(checkpoint))}
        factory = registered()
        if factory is not None:
            yield asked, {"misfit": registered_misfit(checkpoint.tensors, factory)}
        networks = networks_of(
            checkpoint.tensors,
            values=checkpoint.meta["values"],
            factory=factory,
            activation=request.activation,
            features=None if table is None else table[0][0].size,
        )
        yield asked, {"networks": {network.key: network.title for network in networks}}
        wanted = request.network if request.network in {n.key for n in networks} else None
        network, samples, why = best_fit(chosen_networks(networks, wanted), table)
        start = start_of(network, checkpoint, request.file.name)
        yield asked, {"network": network.key, "start": start}
        second = None
        if request.second is not None:
            second = Second(request.second.name, network.with_tensors(files["second"].tensors))
        for report in inspect(
            checkpoint, request.file.name, network, samples, chosen=why, second=second
        ):
            yield asked, {"report": report, "doing": f"measuring {report.working}"}

    def _has_work(self) -> bool:
        return bool(self._jobs)

    def _take_turn(self, until: float) -> None:
        while self._jobs and not self._commands and time.perf_counter() < until:
            self._jobs.take_turn(0.0)

    def _publish(self, _job: str, news: tuple[int, dict[str, Any]]) -> None:
        asked, changes = news
        report = changes.get("report")
        if report is not None and not report.working:
            self._settle(asked, **changes | {"state": "finished"})
        else:
            self._tell(asked, **changes)

    def _refuse(self, _job: str, error: Exception) -> None:
        self._end(self._asked, str(error))

    def _drop(self) -> None:
        self._jobs.clear()
        with self._lock:
            self._asked += 1  # a reader that is still at work has come too late
            self._progress, self._file = Progress(), None
        self._known.clear()
        self.settled.set()

    def _fail(self, error: Exception) -> None:
        self._jobs.clear()
        self._end(self._asked, f"Measuring stopped: {error}")


class Desk(Held):
    """A session's uploads, and the inspector that measures them."""

    def __init__(self, pulse: Pulse | None = None) -> None:
        self.inspector = Inspector(name=f"inspector {next(_numbers)}", pulse=pulse)
        super().__init__(self.inspector)
        self.request: Request | None = None
        #: Whether the end of the connection has stopped an inspection.
        self._goes_on = False
        #: The names of the parts of the report that the page was last sent.
        self._parts: frozenset[str] = frozenset()

    def ask(self, request: Request) -> None:
        """Inspect these files, unless that is what was asked for last."""
        if request != self.request:
            self.request = request
            self.inspector.ask(request)

    def replacing(self, parts: Parts) -> Parts:
        """These parts in place of the last ones: those of an older report are emptied."""
        gone = self._parts - parts.keys()
        self._parts = frozenset(parts)
        return parts | {name: {} for name in gone}

    def leave(self) -> None:
        """Stop, and keep what is measured."""
        self._goes_on = self.inspector.progress().working
        self.inspector.cancel()

    def come_back(self) -> None:
        """Measure anew what the connection's end has stopped."""
        if self._goes_on and self.request is not None:
            self._goes_on = False
            self.inspector.ask(self.request)


def current_desk() -> Desk:
    """This session's desk; after it was idle the files are on the page still, and read anew."""
    return current("desk", lambda pulse, _ended: Desk(pulse))
