"""Finished units on disk, whole or not at all: what a killed comparison goes on from."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from app.compare.train import Outcome, Unit
from app.score.kept import ROOT

#: Fields of an experiment that a unit's numbers depend on.
TRAINING = ("scenario", "bits", "lgi_lambda", "k", "sigma", "batch", "steps")
#: Code that they depend on.
SOURCES = ("sadam", "probes", "demo_models")
OWN = (
    "app/compare/train.py",
    "app/compare/samples.py",
    "app/live/run.py",
    "app/experiment.py",
)


class Store:
    """A folder of finished units.

    Args:
        folder: made if it does not exist; what a killed process left half written is deleted.
        warn: told in a sentence when a damaged file is left out.
    """

    def __init__(self, folder: Path, warn: Callable[[str], None]) -> None:
        self._folder, self._warn = folder, warn
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob("*.part"):
            left.unlink()

    def load(self, unit: Unit) -> Outcome | None:
        """What the unit found, or None where it is to be trained."""
        path = self._path(unit)
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        except FileNotFoundError:
            return None
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
            self._warn(f"{path.name} is damaged, expected a finished seed: it is trained anew.")
            return None

    def save(self, unit: Unit, outcome: Outcome) -> None:
        """Write what it found, whole or not at all."""
        path = self._path(unit)
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **outcome)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)

    def _path(self, unit: Unit) -> Path:
        return self._folder / f"seed-{unit.seed}-{fingerprint(unit)[:24]}.npz"


def fingerprint(unit: Unit) -> str:
    """SHA-256 of all that a unit's numbers depend on: settings, code, torch and the device."""
    whole = asdict(unit) | {
        "experiment": {name: getattr(unit.experiment, name) for name in TRAINING},
        "torch": torch.__version__,
        "sources": sources(),
    }
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


@lru_cache(maxsize=1)
def sources() -> str:
    """SHA-256 of the code that trains; line endings do not count."""
    paths = [path for room in SOURCES for path in sorted((ROOT / room).rglob("*.py"))]
    total = hashlib.sha256()
    for path in (*paths, *(ROOT / name for name in OWN)):
        total.update(f"{path.relative_to(ROOT).as_posix()}\0{path.read_text('utf-8')}\0".encode())
    return total.hexdigest()
