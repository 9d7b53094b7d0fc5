"""Which code the score is computed with, and whether it is still the same."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path

from app.score.kept import ROOT

START = "app.score.compute"
ROOMS = ("app", "probes", "demo_models")


def sources(start: str = START) -> list[Path]:
    """The module and all of ours that it imports, and they, in order of their paths."""
    found: set[Path] = set()
    waiting = [start]
    while waiting:
        path = _file(waiting.pop())
        if path is None or path in found:
            continue
        found.add(path)
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                waiting += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Import):
                waiting += [alias.name for alias in node.names]
    return sorted(found)


def digest(paths: list[Path] | None = None) -> str:
    """SHA-256 over names and text of the sources; line endings do not count."""
    total = hashlib.sha256()
    for path in sources() if paths is None else paths:
        total.update(f"{path.relative_to(ROOT).as_posix()}\0{path.read_text('utf-8')}\0".encode())
    return total.hexdigest()


def _file(module: str) -> Path | None:
    """The file of a module of ours; None for others, for packages and for names within one."""
    parts = module.split(".")
    path = ROOT.joinpath(*parts).with_suffix(".py")
    return path if parts[0] in ROOMS and path.is_file() else None
