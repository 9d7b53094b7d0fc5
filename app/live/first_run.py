"""The run that a first visit opens on: computed once, then kept in the user's cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from app.live.packing import packed, unpacked
from app.live.run import Run
from app.live.view import Ahead, Maps
from app.live.worker import log

#: Steps of the first run: AdamW chatters visibly, and two cores are done within ten seconds.
FIRST_STEPS = 160
ROOT = Path(__file__).resolve().parents[2]
#: What a first run depends on: these folders of ours, and the versions of these libraries.
SOURCES = ("sadam", "probes", "demo_models", "app/live", "app/experiment.py")


def cache_folder() -> Path:
    """Where this user's computed results are kept; CHATTERSCOPE_CACHE names another place."""
    if named := os.environ.get("CHATTERSCOPE_CACHE"):
        return Path(named)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return base / "chatterscope"


def load(run: Run) -> tuple[Maps, Ahead] | None:
    """Put a fresh default run where its first run ended, if that is kept.

    Args:
        run: at step 0; it stays so when nothing fitting is kept.

    Returns:
        Slice and maps, and the loss ahead, as they were computed then; or None.
    """
    file = _file(run)
    if not file.exists():
        return None
    try:
        kept = torch.load(file, map_location="cpu", weights_only=True)
        maps, ahead = unpacked(kept["maps"]), unpacked(kept["ahead"])
        if not isinstance(maps, Maps) or not isinstance(ahead, Ahead):
            raise ValueError("it holds no maps or no loss ahead.")
        run.restore(kept["run"])
    except Exception as error:  # torch refuses a damaged file by many types
        log.warning("the kept first run is computed anew: %s", ascii(str(error))[:200])
        return None
    return maps, ahead


def save(run: Run, maps: Maps, ahead: Ahead) -> None:
    """Keep a first run in place of those of other versions; a full or read-only disk keeps none."""
    file = _file(run)
    partial = file.with_suffix(f".{os.getpid()}-{id(run)}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        state = {"run": run.state(), "maps": packed(maps), "ahead": packed(ahead)}
        torch.save(state, partial)
        partial.replace(file)  # at once: another session may be reading
        for old in file.parent.glob("first-run-*.pt"):
            if old != file:
                old.unlink(missing_ok=True)
    except OSError as error:
        log.warning("the first run is not kept: %s", error)
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _file(run: Run) -> Path:
    return cache_folder() / f"first-run-{_version(run.experiment.to_query())}.pt"


def _version(query: Mapping[str, Any]) -> str:
    """A digest of all that decides what the run computes."""
    digest = hashlib.sha256(repr((FIRST_STEPS, sorted(query.items()))).encode())
    digest.update(f"{sys.version} {torch.__version__} {np.__version__}".encode())
    for name in SOURCES:
        place = ROOT / name
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
