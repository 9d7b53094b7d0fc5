"""The first run: kept once, found again bit for bit, and computed anew when anything differs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from app.experiment import Experiment
from app.live import first_run
from app.live.ahead import compute_ahead
from app.live.maps import compute_maps
from app.live.packing import packed, unpacked
from app.live.run import Run
from app.live.view import Ahead, Maps
from probes import Plane

EXPERIMENT = Experiment().change(scenario="moons", slice_resolution=9, map_resolution=5)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHATTERSCOPE_CACHE", str(tmp_path))
    return tmp_path


def trained(steps: int = 12) -> tuple[Run, Maps, Ahead]:
    run = Run(EXPERIMENT)
    for _ in range(steps):
        run.advance()
        run.record()
    *_, maps = compute_maps(EXPERIMENT, run, run.step)
    *_, ahead = compute_ahead(run, run.step)
    return run, maps, ahead


def test_a_kept_run_comes_back_whole_and_goes_on_bit_for_bit(cache: Path) -> None:
    run, maps, ahead = trained()
    first_run.save(run, maps, ahead)
    again = Run(EXPERIMENT)
    found = first_run.load(again)
    assert found is not None
    np.testing.assert_array_equal(found[0].slice.losses, maps.slice.losses)
    assert found[0].map.values.keys() == maps.map.values.keys()
    assert found[0].fidelity == maps.fidelity
    assert found[1].lines.keys() == ahead.lines.keys()
    np.testing.assert_array_equal(found[1].lines["adamw"].losses, ahead.lines["adamw"].losses)
    for known in (run, again):
        known.place(maps.plane)
        known.advance()
        known.record()
    before, after = run.known(), again.known()
    for name, column in before["columns"].items():
        np.testing.assert_array_equal(column, after["columns"][name], err_msg=name)
    np.testing.assert_array_equal(before["places"], after["places"])
    assert before["step"] == after["step"] == 13


def test_levels_are_the_same_again() -> None:
    quantized = EXPERIMENT.change(bits=2)
    run = Run(quantized)
    for _ in range(3):
        run.advance()
        run.record()
    again = Run(quantized)
    again.restore(run.state())
    assert run.codes.keys() == again.codes.keys()
    for step, levels in run.codes.items():
        np.testing.assert_array_equal(levels, again.codes[step])


def test_nothing_is_kept_at_first_and_other_settings_find_nothing(cache: Path) -> None:
    run = Run(EXPERIMENT)
    assert first_run.load(run) is None
    first_run.save(*trained())
    assert first_run.load(Run(EXPERIMENT.change(lr=0.5))) is None
    assert len(list(cache.glob("first-run-*.pt"))) == 1


def test_other_sources_find_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    first_run.save(*trained())
    monkeypatch.setattr(first_run, "OF_A_RUN", ("sadam",))
    assert first_run.load(Run(EXPERIMENT)) is None


@pytest.mark.parametrize("damage", ["cut", "noise", "empty", "another type"])
def test_a_damaged_file_leaves_the_run_at_its_start(cache: Path, damage: str) -> None:
    first_run.save(*trained())
    (file,) = cache.glob("*.pt")
    content = file.read_bytes()
    if damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "noise":
        file.write_bytes(np.random.default_rng(0).bytes(1000))
    elif damage == "empty":
        file.write_bytes(b"")
    else:
        torch.save({"maps": {"__kind__": "Popen"}, "ahead": 1, "run": {}}, file)
    run = Run(EXPERIMENT)
    assert first_run.load(run) is None
    assert run.step == run.ensemble.t == 0


def test_a_folder_that_cannot_be_written_is_no_error(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cache / "file").write_text("")
    monkeypatch.setenv("CHATTERSCOPE_CACHE", str(cache / "file"))
    first_run.save(*trained())
    assert list(cache.iterdir()) == [cache / "file"]


def test_only_results_are_packed_and_unpacked() -> None:
    plane = Plane(torch.zeros(2), torch.eye(2), (-1.0, 1.0, -2.0, 2.0), "coordinates")
    again = unpacked(packed({"plane": plane, "none": None}))["plane"]
    assert again.extent == plane.extent
    assert torch.equal(again.axes, plane.axes)
    with pytest.raises(TypeError, match=r"object cannot be packed; expected one of Ahead, "):
        packed(object())
    with pytest.raises(ValueError, match=r"the file holds 'Popen', which does not fit\."):
        unpacked({"__kind__": "Popen", "args": "id"})
