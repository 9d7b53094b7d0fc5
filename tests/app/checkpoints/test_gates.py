"""Each gate holds alone, so that a hole in one is not a hole in all."""

from __future__ import annotations

import pickle
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import safetensors.torch
import torch

from app.checkpoints import CheckpointError, child, read_checkpoint, sandbox
from app.checkpoints.archive import Archive, open_archive
from app.checkpoints.errors import shown
from app.checkpoints.layout import prefix_of
from app.checkpoints.outline import TensorOutline, outline
from app.checkpoints.reader import _load
from app.checkpoints.sandbox import load_apart
from app.checkpoints.tensorfile import read_entries
from app.checkpoints.turns import Queue
from tests.app.checkpoints.crafting import (
    Call,
    Stored,
    archive,
    floats,
    pickled,
    saved,
    tensor,
    view,
)
from tests.app.checkpoints.crafting import safetensors as safetensors_file
from tests.app.checkpoints.hostile import _tuple_key, payload

ROOT = Path(__file__).resolve().parents[3]
W = TensorOutline("float32", (4,))


def unchecked(value: Any) -> Archive:
    """An archive that gate 3 gets to see although gate 2 would have stopped it."""
    return Archive(pickled(value), {"0": memoryview(floats(4))})


def test_the_process_stands_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code, memory, a hang and a lie about a view, each straight into the process of gate 3."""
    monkeypatch.setattr(sandbox, "LOAD_SECONDS", 2)
    monkeypatch.setattr(sandbox, "CHILD_BYTES", 2**28)
    marker = tmp_path / "marker"
    huge = view(Stored("0", 4), (2**20, 2**20), (0, 0))
    hang = open_archive(archive(None, raw=_tuple_key())).pickled
    files: dict[str, tuple[Archive, dict[Any, TensorOutline]]] = {
        "fine": (unchecked({"w": tensor(), "more": bytearray(10)}), {("w",): W}),
        "code": (unchecked({"w": tensor(), "code": payload(marker)}), {("w",): W}),
        "memory": (unchecked({"w": tensor(), "b": Call(bytearray, 2**29)}), {("w",): W}),
        "hang": (Archive(hang, {}), {}),
        "view": (unchecked({"w": huge}), {("w",): TensorOutline("float32", (2**20, 2**20))}),
    }

    def verdict(name: str) -> str | bytes:
        try:
            return load_apart(*files[name])
        except CheckpointError as error:
            return str(error)

    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(files, pool.map(verdict, files), strict=True))
    fine = found.pop("fine")
    assert isinstance(fine, bytes)
    assert safetensors.torch.load(fine)["0"].numpy().tobytes() == floats(4)
    refusal = (
        "torch could not load the file within the time and the memory that one may take; expected "
        "what torch.save writes: save it again with torch.save(model.state_dict(), 'model.pt')."
    )
    assert found == dict.fromkeys(found, refusal)
    assert not marker.exists()


def test_a_process_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "CHILD_SECONDS", 0.05)
    with pytest.raises(CheckpointError, match=r"did not load within 0\.05 seconds; expected one"):
        load_apart(unchecked({"w": tensor()}), {("w",): W})


def test_the_process_knows_nothing_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", "x")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    program, out = tmp_path / "probe.py", tmp_path / "out"
    program.write_text(
        "import os, pathlib, sys\n"
        f"pathlib.Path({str(out)!r}).write_text(repr((sys.flags.isolated, sys.path, "
        "sorted(os.environ), os.getcwd())))"
    )
    sandbox._run([str(program)], str(tmp_path))
    isolated, path, environment, folder = eval(out.read_text())  # noqa: S307  # our own repr
    assert isolated
    assert str(ROOT) not in path
    assert "A_SECRET" not in environment
    assert "PYTHONPATH" not in environment
    assert Path(folder) == tmp_path


def test_nothing_stays_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    seen = []

    def watched(program: list[str], folder: str) -> None:
        seen.extend(path.name for path in Path(folder).iterdir())
        raise CheckpointError("a", "b", "c")

    monkeypatch.setattr(sandbox, "_run", watched)
    with pytest.raises(CheckpointError, match=r"a; expected b: c\."):
        read_checkpoint(saved({"w": torch.ones(2)}), "../../model.pt")
    assert sorted(seen) == ["plan", "source"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        ([["w"], "float32", [5]], "is not what was planned"),
        ([["w"], "float64", [4]], "is not what was planned"),
        ([["n"], "float32", []], "is no tensor"),
    ],
)
def test_the_process_holds_torch_to_the_plan(tmp_path: Path, plan: list[Any], text: str) -> None:
    path = tmp_path / "source"
    open_archive(saved({"w": torch.ones(4), "n": 1})).write(str(path))
    with pytest.raises(ValueError, match=text):
        child.load(path, [plan], 100)
    with pytest.raises(ValueError, match="larger than planned"):
        child.load(path, [[["w"], "float32", [4]]], 8 * 4 - 1)


def test_a_header_must_be_a_table() -> None:
    with pytest.raises(CheckpointError, match="header is no table; expected names with types"):
        read_entries(safetensors_file([1, 2, 3]))


@pytest.mark.parametrize("came", [{"0": torch.ones(5)}, {"1": torch.ones(4)}, {}])
def test_only_what_was_asked_for_comes_back(came: dict[str, torch.Tensor]) -> None:
    with pytest.raises(CheckpointError, match="torch read other tensors than the file describes"):
        _load(safetensors.torch.save(came), {("w",): W})


def test_torch_reads_only_what_was_checked(tmp_path: Path) -> None:
    """What lies between and before the records of an archive does not reach torch."""
    whole = saved({"w": torch.arange(4.0)})
    path = tmp_path / "source"
    open_archive(whole).write(str(path))
    with path.open("rb") as file:
        loaded = torch.load(file, weights_only=True)
    assert torch.equal(loaded["w"], torch.arange(4.0))
    with ZipFile(path) as written:
        names = {name.removeprefix("archive/") for name in written.namelist()}
    assert names == {"data.pkl", "byteorder", "version", "data/0"}


def test_an_outline_is_what_torch_builds() -> None:
    value = {"a": [1, (2.5, None, "x"), {}], 3: True, "w": torch.ones(2, 3, dtype=torch.float16)}
    packed = open_archive(saved(value))
    sizes = {key: len(raw) for key, raw in packed.storages.items()}
    expected = value | {"w": TensorOutline("float16", (2, 3))}
    assert outline(packed.pickled, sizes) == expected


def test_an_outline_calls_nothing(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    with pytest.raises(CheckpointError, match=r"'__builtin__\.exec'"):
        outline(pickle.dumps(payload(marker), 2), {})
    assert not marker.exists()


@pytest.mark.parametrize(
    ("names", "prefix"),
    [
        (["module.a", "module.b"], "module."),
        (["module._orig_mod.a"], "module._orig_mod."),
        (["_orig_mod.module.a.module.b"], "_orig_mod.module."),
        (["n_averaged", "module.a"], "module."),
        (["module.a", "b"], ""),
        (["module."], ""),
        (["modules.a"], ""),
        (["n_averaged"], ""),
    ],
)
def test_prefixes(names: list[str], prefix: str) -> None:
    assert prefix_of(names) == prefix


def test_names_are_shown_escaped_and_cut() -> None:
    assert shown("w\ud800\n") == r"'w\ud800\n'"
    assert len(shown("é" * 10**6)) == 80
    assert shown("a" * 10**6).endswith("...")
    assert shown(7) == "7"


def test_the_queue_tells_everybody_their_place() -> None:
    queue, told, order = Queue(1), {}, []
    waiting = threading.Semaphore(0)

    def visitor(name: str) -> None:
        def on_wait(place: int) -> None:
            told.setdefault(name, []).append(place)
            waiting.release()

        with queue.turn(on_wait):
            order.append(name)

    names = ("first", "second", "third")
    threads = [threading.Thread(target=visitor, args=(name,)) for name in names]
    with queue.turn(lambda _: order.append("somebody waited for a free place")):
        for thread in threads:
            thread.start()
            assert waiting.acquire(timeout=30)  # it is in the queue before the next one comes
        assert told == {"first": [1], "second": [2], "third": [3]}
    for thread in threads:
        thread.join(30)
    assert order == ["first", "second", "third"]
    assert all(places == sorted(set(places), reverse=True) for places in told.values())


def test_at_most_two_are_inside() -> None:
    queue, lock = Queue(2), threading.Lock()
    inside = most = 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(100):
            with queue.turn():
                with lock:
                    inside += 1
                    most = max(most, inside)
                with lock:
                    inside -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most <= 2
    with queue.turn(), queue.turn():
        pass  # both places came back


def test_who_gives_up_waiting_leaves_the_queue() -> None:
    queue = Queue(1)

    def give_up(place: int) -> None:
        raise KeyError(place)

    with queue.turn(), pytest.raises(KeyError), queue.turn(give_up):
        pass
    with queue.turn(give_up):
        pass  # nobody waits, so nobody is told


def test_the_reader_loads_neither_the_page_nor_torch() -> None:
    program = (
        "import sys, app.checkpoints; print([m for m in ('streamlit', 'plotly', 'torch', 'numpy') "
        "if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
