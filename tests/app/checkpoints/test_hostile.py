"""Every hostile file is refused: soon, in little memory, in words that help; and nothing runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.checkpoints import CheckpointError, read_checkpoint, sandbox
from tests.app.checkpoints.hostile import CODE, HOSTILE, MB, Case
from tests.app.checkpoints.memory import mark, peak

SENTENCE = re.compile(r"(the|torch) .+; expected .+: .+[^.]\.")
#: Words of torch's own messages, and of tracebacks.
FOREIGN = ("Traceback (most", "Unpickl", "GLOBAL", "safe_globals", "PytorchStreamReader", "Error:")


@dataclass(frozen=True)
class Verdict:
    message: str
    seconds: float
    grown: int
    children: int
    marked: bool


def seconds_of_work() -> float:
    """Processor time of this process and of its children; others on the machine don't count."""
    return sum(os.times()[:4])


def judge(case: Case, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Verdict:
    """Read a file and watch the reader do so."""
    children = []
    run = subprocess.run

    def counted(*args: object, **kwargs: object) -> object:
        children.append(args)
        return run(*args, **kwargs)  # type: ignore[call-overload]

    monkeypatch.setattr(sandbox.subprocess, "run", counted)
    marker = folder / "marker"
    data = case.make(marker)
    before, start = mark(), seconds_of_work()
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(data, case.filename)
    seconds, grown = seconds_of_work() - start, peak() - before
    return Verdict(str(caught.value), seconds, grown, len(children), marker.exists())


@pytest.mark.parametrize("case", HOSTILE, ids=lambda case: f"{case.family}: {case.name}")
def test_refused(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = judge(case, tmp_path, monkeypatch)
    assert case.found in verdict.message
    assert case.advice in verdict.message.partition("; expected ")[2]
    assert SENTENCE.fullmatch(verdict.message)
    assert len(verdict.message) < 500
    assert verdict.message.isascii()
    assert verdict.message.isprintable()
    assert not [word for word in FOREIGN if word in verdict.message]
    assert not verdict.marked
    assert verdict.seconds < 10
    assert verdict.grown < 200 * MB
    assert verdict.children == case.child  # gates 1 and 2 need no process to tell


def test_corpus_is_as_large_as_it_should_be() -> None:
    assert len(HOSTILE) >= 60
    families = {case.family for case in HOSTILE}
    assert families == {"code", "memory", "hang", "crash", "leak", "format", "numbers", "names"}
    assert len({(case.family, case.name) for case in HOSTILE}) == len(HOSTILE)


def test_the_payloads_are_real(tmp_path: Path) -> None:
    """The same files, unpickled in a process of its own without the gates, do write the marker."""
    cases = [case for case in CODE if case.fires]
    folders = [tmp_path / str(i) for i in range(len(cases))]
    for folder, case in zip(folders, cases, strict=True):
        folder.mkdir()
        (folder / "model.pt").write_bytes(case.make(folder / "marker"))
    program = """
import contextlib, sys, torch
for path in sys.argv[1:]:
    with contextlib.suppress(Exception):
        torch.load(path, weights_only=False)
"""
    paths = [str(folder / "model.pt") for folder in folders]
    subprocess.run([sys.executable, "-c", program, *paths], check=True, timeout=60)
    fired = {case.name for f, case in zip(folders, cases, strict=True) if (f / "marker").exists()}
    assert fired == {case.name for case in cases}
    assert len(fired) >= 10
