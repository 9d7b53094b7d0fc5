"""The grid as the first run left it, kept so that a first visit is drawn before torch is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from app.experiment import Experiment
from app.live.cache import cache_folder, digest, put
from app.live.worker import log

#: What the grid's parts depend on: the first run, and how it is drawn.
SOURCES = ("sadam", "probes", "demo_models", "app/live", "app/experiment.py", "app/charts")

Parts = dict[str, dict[str, Any]]


def load() -> Parts:
    """The parts of the grid, its status among them, or {} where none that fit are kept."""
    file = _file()
    if not file.exists():
        return {}
    try:
        parts = json.loads(file.read_bytes())
        if not (isinstance(parts, dict) and all(isinstance(v, dict) for v in parts.values())):
            raise ValueError("it holds no parts of the grid.")
        if "status" not in parts:
            raise ValueError("it holds no status.")
    except (OSError, ValueError) as error:
        log.warning("the kept first view is left out: %s", ascii(str(error))[:200])
        return {}
    return parts


def keep(parts: Parts) -> None:
    """Keep the parts in place of those of other versions, where none are kept yet."""
    file = _file()
    if file.exists():
        return
    data = json.dumps(parts, separators=(",", ":")).encode()
    try:
        put(file, lambda partial: partial.write_bytes(data), "first-view-*.json")
    except OSError as error:
        log.warning("the first view is not kept: %s", error)


def _file() -> Path:
    asked = sorted(Experiment().to_query().items())
    return cache_folder() / f"first-view-{digest(asked, SOURCES)}.json"
