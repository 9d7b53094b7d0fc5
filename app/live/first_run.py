"""The run that a first visit opens on: computed once, then kept in the user's cache folder."""

from __future__ import annotations

from pathlib import Path

import torch

from app.live.cache import OF_A_RUN, cache_folder, digest, put
from app.live.packing import packed, unpacked
from app.live.run import Run
from app.live.view import Ahead, Maps
from app.live.worker import log

#: Steps of the first run: AdamW chatters visibly, and two cores are done within ten seconds.
FIRST_STEPS = 160


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
    state = {"run": run.state(), "maps": packed(maps), "ahead": packed(ahead)}
    try:
        put(_file(run), lambda partial: torch.save(state, partial), "first-run-*.pt")
    except OSError as error:
        log.warning("the first run is not kept: %s", error)


def _file(run: Run) -> Path:
    asked = FIRST_STEPS, sorted(run.experiment.to_query().items())
    return cache_folder() / f"first-run-{digest(asked, OF_A_RUN)}.pt"
