"""The grid as the first run left it, kept so that a first visit is drawn before torch is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from app.experiment import Experiment
from app.live.cache import OF_A_RUN, cache_folder, digest, put
from app.live.worker import log

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
    asked, sources = sorted(Experiment().to_query().items()), (*OF_A_RUN, "app/charts")
    return cache_folder() / f"first-view-{digest(asked, sources)}.json"
