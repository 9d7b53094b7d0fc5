"""Results that every session of a server shares, in the user's cache folder."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import sys
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: What computes them; their versions are read by name, as torch itself takes seconds to load.
LIBRARIES = ("torch", "numpy")
#: What a run depends on.
OF_A_RUN = ("sadam", "probes", "demo_models", "app/live", "app/experiment.py")


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


def digest(of: object, sources: Iterable[str]) -> str:
    """16 hexadecimal digits that differ when anything does that decides a result.

    Args:
        of: what is asked for; its repr counts.
        sources: files and folders of ours, from the project's root.
    """
    found = repr(
        (of, _contents(tuple(sources)), sys.version, [version(name) for name in LIBRARIES])
    )
    return hashlib.sha256(found.encode()).hexdigest()[:16]


@functools.cache
def _contents(sources: tuple[str, ...]) -> str:
    """A digest of files as they are when first asked for, close to when Python has read them."""
    found = hashlib.sha256()
    for name in sources:
        place = ROOT / name
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            found.update(file.read_bytes())
    return found.hexdigest()


def put(file: Path, write: Callable[[Path], object], instead_of: str) -> None:
    """Write a file whole or not at all, as another session may be reading.

    Args:
        file: in a folder that is made if there is none.
        write: called with where to write.
        instead_of: a pattern of files beside it, of other versions, that it replaces.

    Raises:
        OSError: the disk is full or can't be written; nothing is left of the file.
    """
    partial = file.with_suffix(f".{os.getpid()}-{id(write)}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write(partial)
        partial.replace(file)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    for old in file.parent.glob(instead_of):
        if old != file:
            old.unlink(missing_ok=True)
