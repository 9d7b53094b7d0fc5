"""Imports go one way: app -> sadam -> probes, and app -> demo_models. Only app knows the page."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

MAY_IMPORT = {
    "app": {"app", "sadam", "probes", "demo_models"},
    "sadam": {"sadam", "probes"},
    "probes": {"probes"},
    "demo_models": {"demo_models"},
}
PAGE_LIBRARIES = {"streamlit", "plotly"}


def imported_packages(source: str) -> Iterator[str]:
    """Yield the top package of every absolute import, wherever in the source it stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]
        elif isinstance(node, ast.Call) and node.args:
            name = ast.unparse(node.func).rpartition(".")[2]
            target = node.args[0]
            if name in {"import_module", "__import__"} and isinstance(target, ast.Constant):
                yield str(target.value).partition(".")[0]


def violations(room: str, source: str) -> list[str]:
    """Return what a file of `room` imports and may not, sorted."""
    ours = MAY_IMPORT.keys() | {"tests"}
    forbidden = (ours - MAY_IMPORT[room]) | (PAGE_LIBRARIES if room != "app" else set())
    return sorted(set(imported_packages(source)) & forbidden)


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_rooms_import_in_one_direction(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files, f"{room}/ holds no Python file"
    found = {str(path.relative_to(ROOT)): violations(room, path.read_text()) for path in files}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("room", "source", "expected"),
    [
        ("probes", "from sadam.update import damping_from_lgi", ["sadam"]),
        ("probes", "import torch\nimport streamlit as st", ["streamlit"]),
        ("probes", "def late():\n    import app.experiment", ["app"]),
        ("sadam", "import plotly.graph_objects, demo_models.data", ["demo_models", "plotly"]),
        ("sadam", "import importlib\nimportlib.import_module('app.live')", ["app"]),
        ("demo_models", "from probes import Objective", ["probes"]),
        ("app", "from tests import helpers", ["tests"]),
        ("app", "import streamlit, plotly, sadam, probes, demo_models", []),
        ("sadam", "from probes import Objective\nfrom . import update", []),
        ("probes", "import probestreamlit\nname = 'import app'", []),
    ],
)
def test_the_checker_tells_good_from_bad(room: str, source: str, expected: list[str]) -> None:
    assert violations(room, source) == expected


@pytest.mark.parametrize("module", ["demo_models.scenarios", "sadam.lanes", "app.reach"])
def test_declarations_load_without_torch(module: str) -> None:
    program = f"import sys, {module}; print('torch' in sys.modules, 'numpy' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["False", "False"]
