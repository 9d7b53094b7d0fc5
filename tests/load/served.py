"""The server under load, in a process of its own, and what it uses, as Linux counts it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
MB = 2**20


@dataclass(frozen=True)
class Served:
    """A running server.

    Args:
        url: of its page.
        process: it.
        log_file: what it has logged.
    """

    url: str
    process: subprocess.Popen[bytes]
    log_file: Path

    @property
    def log(self) -> str:
        """All that was logged so far."""
        return self.log_file.read_text(encoding="utf-8")

    @property
    def memory(self) -> float:
        """MB that it holds in memory."""
        pages = int(self._proc("statm").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / MB

    @property
    def threads(self) -> int:
        """Threads that it runs."""
        return len(list(Path(f"/proc/{self.process.pid}/task").iterdir()))

    @property
    def cpu(self) -> float:
        """Seconds of processor time that it has used."""
        fields = self._proc("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _proc(self, name: str) -> str:
        return Path(f"/proc/{self.process.pid}/{name}").read_text(encoding="ascii")


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def served(cache: Path | None = None, port: int | None = None, **settings: str) -> Iterator[Served]:
    """Serve the page on loopback until the block ends.

    Args:
        cache: folder of kept results; None for an empty one.
        port: None for a free one.
        settings: further environment variables, as CHATTERSCOPE_STEPS.
    """
    port = port or free_port()
    with tempfile.TemporaryDirectory(prefix="chatterscope-") as folder:
        log_file = Path(folder) / "log.txt"
        environment = os.environ | {"PYTHONUNBUFFERED": "1"} | settings
        environment["CHATTERSCOPE_CACHE"] = str(cache or folder)
        command = [sys.executable, "-m", "app", "serve", "--no-browser", "--port", str(port)]
        with log_file.open("w") as log:
            process = subprocess.Popen(
                command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, env=environment
            )
        try:
            running = Served(f"http://localhost:{port}", process, log_file)
            wait_for_answer(running)
            yield running
        finally:
            process.terminate()
            process.wait(30)


def wait_for_answer(running: Served, seconds: float = 60) -> None:
    """Until the server says that it is well."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and running.process.poll() is None:
        try:
            with urllib.request.urlopen(f"{running.url}/_stcore/health", timeout=2):  # noqa: S310
                return
        except OSError:
            time.sleep(0.02)
    raise AssertionError(f"the server gave no answer: {running.log}")
