"""Lanes and settings are declarations: importing them must not wait for torch."""

import subprocess
import sys
from pathlib import Path

import pytest

import sadam
from sadam import LANES

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("module", ["sadam", "sadam.lanes", "sadam.settings"])
def test_imports_without_torch(module: str):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_every_public_name_can_be_imported():
    assert all(getattr(sadam, name) is not None for name in sadam.__all__)
    with pytest.raises(AttributeError, match="module 'sadam' has no attribute 'Adam'"):
        sadam.Adam  # noqa: B018


def test_the_lanes_of_the_lab():
    assert {key: lane.title for key, lane in LANES.items()} == {
        "adamw": "AdamW",
        "sadam": "S-Adam",
        "smaller": "AdamW, smaller step",
    }
    assert [lane.damping for lane in LANES.values()] == ["none", "probed", "matched"]
