"""Runs the command `compare` for its tests, in this process or in one that can be killed."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from app.compare import command

ROOT = Path(__file__).resolve().parents[2]
#: Small, quick, and with a control of every kind.
TINY = "--scenario moons --lanes adamw,sadam,smaller,swapped --seeds 3 --steps 12"
TUNED = f"{TINY} --tune lr --rates 1e-3:1"
PROGRAM = (
    "import argparse, sys; from app.compare import command; "
    "parser = argparse.ArgumentParser(); commands = parser.add_subparsers(); "
    "command.add_arguments(commands.add_parser('compare')); "
    "sys.exit(command.run(parser.parse_args()))"
)


def compare(words: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run `compare` in `folder`, as if it had been typed; its exit code."""
    typed = ["compare", *shlex.split(words)]
    monkeypatch.setattr(sys, "argv", ["app", *typed])
    monkeypatch.chdir(folder)
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers()
    command.add_arguments(commands.add_parser("compare"))
    return command.run(parser.parse_args(typed))


def start(words: str, folder: Path) -> subprocess.Popen[str]:
    """Start it in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "compare", *shlex.split(words)],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def numbers(folder: Path) -> dict[str, bytes]:
    """Every file whose bytes are numbers alone, by its name."""
    kinds = ("*.parquet", "*.npz", "table.md", "experiment.json")
    found = [path for kind in kinds for path in folder.rglob(kind)]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(found)}
