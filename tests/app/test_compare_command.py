"""The command `compare`: refusals, bit-identical numbers, a kill in the middle, a cluster."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.compare.progress import Bar, duration
from tests.app.compare_cases import TINY, compare, numbers, start

SMALL = "--scenario moons --lanes adamw,sadam,swapped --seeds 2 --steps 6"
#: Nine units of work in three rounds.
ROUNDS = "--scenario moons --lanes adamw,sadam --seeds 3 --steps 12 --tune lr --rates 1e-2:1"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("--scenario nowhere", "Scenario (scenario) is 'nowhere'; expected one of "),
        ("--lanes adamw,adam", "Optimizers (lanes) has 'adam'; expected at least one of "),
        ("--lanes sadam,sadam", "--lanes 'sadam,sadam' has one twice; give each once."),
        ("--lanes smaller", "which takes its damping from S-Adam; add S-Adam or leave it out."),
        ("--lanes sadam,swapped", "S-Adam, swapped needs 2 or more: raise Seeds first, or "),
        ("--seeds many", "Seeds (seeds) is 'many'; expected a whole number from 1 to 32."),
        ("--seeds 1e9", "Seeds (seeds) is '1e9'; expected a whole number from 1 to 32."),
        ("--steps 0", "Steps (steps) is '0'; expected a whole number from 1 to 100000."),
        ("--lr nan", "Learning rate (lr) is 'nan'; expected a number from 1e-06 to 10."),
        ("--bits 3", "Rounding (bits) is '3'; expected one of 2, 4, 32."),
        ("--scenario quadratic --bits 2", "is an analytic function, which has nothing to round"),
        ("--batch 600", "expected a whole number from 1 to 512, the samples of this scenario."),
        ("--reference sgd", "--reference is sgd, which is not among the lanes; expected one of "),
        ("--tune lr", "there is one; expected --seeds 2 or more."),
        ("--tune lr --lr 0.1", "--tune lr chooses the learning rate and one was given; leave"),
        ("--rates 1e-3:1", "--rates is for --tune lr, which was not given; add it or leave"),
        ("--tune lr --seeds 2 --rates 1", "--rates is '1'; expected LOW:HIGH, two numbers: 1e"),
        ("--tune lr --seeds 2 --rates 1:0.1", "expected two numbers above 0, the larger one la"),
        ("--grid bits", "--grid is 'bits'; expected NAME=VALUE,VALUE, each value once, with "),
        ("--grid depth=2,3", "--grid is 'depth=2,3'; expected NAME=VALUE,VALUE, each value "),
        ("--grid bits=2 --grid bits=4", "--grid names bits twice; expected each setting once."),
        ("--grid batch=8,9999", "In cell batch=9999: Batch (batch) is '9999'; expected a whole"),
        ("--device gpu", "--device is 'gpu'; this machine has cpu"),
        ("--jobs 0", "--jobs is '0'; expected a whole number from 1 to 1024."),
        ("--cluster tcp://x", "--cluster was given without --backend dask or ray; add one of "),
    ],
)
def test_what_is_wrong_is_one_sentence(
    words: str,
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert compare(words, tmp_path, monkeypatch) == 2
    said = capsys.readouterr()
    assert text in said.err
    assert said.err.count("\n") == 1
    assert said.err.endswith(".\n")
    assert list(tmp_path.iterdir()) == []


def test_a_backend_that_is_not_installed_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("app.compare.work.find_spec", lambda _name: None)
    assert compare("--backend dask", tmp_path, monkeypatch) == 2
    assert capsys.readouterr().err == (
        "--backend dask needs dask and distributed, and dask is not installed here: "
        "pip install dask distributed.\n"
    )


def test_a_folder_of_something_else_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "--scenario quadratic --lanes adamw --steps 3 --out out"
    assert compare(words, tmp_path, monkeypatch) == 0
    before = numbers(tmp_path)
    assert compare(f"{words} --seeds 2", tmp_path, monkeypatch) == 2
    assert "'out' holds another comparison; expected the same settings to go on: give another " in (
        capsys.readouterr().err
    )
    assert numbers(tmp_path) == before
    (tmp_path / "out" / "comparison.json").write_text("[]")
    assert compare(words, tmp_path, monkeypatch) == 2
    assert "is damaged, expected what an earlier comparison noted there" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert compare("--scenario quadratic --lanes adamw --out file", tmp_path, monkeypatch) == 2
    assert "'file' can't be used (File exists); expected a folder" in capsys.readouterr().err


def test_a_damaged_seed_is_said_and_trained_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "--scenario quadratic --lanes adamw,sadam --seeds 2 --steps 5 --out out"
    assert compare(words, tmp_path, monkeypatch) == 0
    before = numbers(tmp_path)
    seed = next((tmp_path / "out" / "seeds").iterdir())
    seed.write_bytes(seed.read_bytes()[:200])
    assert compare(words, tmp_path, monkeypatch) == 0
    assert f"{seed.name} is damaged, expected a finished seed: it is trained anew.\n" in (
        capsys.readouterr().err
    )
    assert numbers(tmp_path) == before


def test_two_runs_and_two_processes_give_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = f"{SMALL} --grid batch=8,256"
    for name, jobs in (("one", 1), ("again", 1), ("two", 2)):
        (tmp_path / name).mkdir()
        assert compare(f"{words} --jobs {jobs}", tmp_path / name, monkeypatch) == 0
    found = numbers(tmp_path / "one")
    assert len(found) == 2 * (2 + 4) + 1, "per cell two seeds and four files; the overview"
    assert numbers(tmp_path / "again") == found
    assert numbers(tmp_path / "two") == found
    assert found["report/batch=8/runs.parquet"] != found["report/batch=256/runs.parquet"]
    page = (tmp_path / "one" / "report" / "report.html").read_bytes()
    assert page == (tmp_path / "again" / "report" / "report.html").read_bytes()


def test_a_kill_in_the_middle_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("killed", "whole"):
        (tmp_path / name).mkdir()
    seeds = tmp_path / "killed" / "report" / "seeds"
    process = start(ROUNDS, tmp_path / "killed")
    try:
        begun = time.monotonic()
        while len(list(seeds.glob("*.npz"))) < 4:  # into the second round
            assert process.poll() is None, process.communicate()
            assert time.monotonic() - begun < 120
            time.sleep(0.005)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert not (seeds.parent / "report.html").exists()
    kept = {path.name: path.stat().st_mtime_ns for path in seeds.glob("*.npz")}
    (seeds / "seed-0.part").write_bytes(b"half")

    assert compare(ROUNDS, tmp_path / "killed", monkeypatch) == 0
    assert compare(ROUNDS, tmp_path / "whole", monkeypatch) == 0
    assert numbers(tmp_path / "killed") == numbers(tmp_path / "whole")
    assert {name: (seeds / name).stat().st_mtime_ns for name in kept} == kept, "not trained again"
    assert list(seeds.glob("*.part")) == []
    dates, pages = [], []
    for name in ("killed", "whole"):
        folder = tmp_path / name / "report"
        dates.append(json.loads((folder / "comparison.json").read_text())["date"])
        pages.append((folder / "report.html").read_text("utf-8"))
    assert pages[0].replace(dates[0], dates[1]) == pages[1]


def test_a_worker_that_dies_is_a_sentence_and_finished_seeds_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    class Parallel:
        """Gives the first unit back, then loses a worker."""

        def __init__(self, **_options: object) -> None:
            pass

        def __call__(self, tasks: Iterator[tuple[Any, tuple[Any, ...], object]]) -> Iterator[Any]:
            function, arguments, _ = next(tasks)
            yield function(*arguments)
            raise TerminatedWorkerError("killed")

    words = "--scenario quadratic --lanes adamw --seeds 3 --steps 3 --jobs 2 --out out"
    with monkeypatch.context() as patch:
        patch.setattr("joblib.Parallel", Parallel)
        assert compare(words, tmp_path, monkeypatch) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "One of 2 worker processes was ended, mostly for want of memory; run the same command "
        "again with fewer --jobs: finished seeds are kept."
    )
    assert len(list((tmp_path / "out" / "seeds").glob("*.npz"))) == 1


def test_the_history_is_bounded_and_its_end_is_dense(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.compare.train.ROWS", 128)
    words = "--scenario quadratic --lanes adamw,sgd --seeds 2 --steps 500 --out out"
    assert compare(words, tmp_path, monkeypatch) == 0
    (path, _) = sorted((tmp_path / "out" / "seeds").iterdir())
    with np.load(path) as found:
        steps = found["step"]
        assert found["history.probe_loss"].shape == (len(steps), 2)
        assert found["forwards"].tolist() == [500, 500], "one a step, the last plan not taken"
    assert len(steps) <= 128
    assert steps[0] == 0
    assert steps[-64:].tolist() == list(range(437, 501))


def test_a_dask_cluster_gives_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distributed = pytest.importorskip("distributed", reason="dask distributed is not installed")
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    assert compare(SMALL, tmp_path / "here", monkeypatch) == 0
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(host="127.0.0.1", **options) as cluster:
        words = f"{SMALL} --backend dask --cluster {cluster.scheduler_address}"
        assert compare(words, tmp_path / "there", monkeypatch) == 0
    assert numbers(tmp_path / "there") == numbers(tmp_path / "here")


def test_the_bar_states_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    bar = Bar("MB", scale=1e6)
    bar.free = 1e6
    bar.show(2e6, 4e6, "data")
    bar.show(4e6, 4e6, "data")
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("[###############...............] 2 of 4 MB, ")
    assert first.endswith(" left · data")
    assert last == "[##############################] 4 of 4 MB · data"
    assert [duration(s) for s in (9.6, 600, 7200)] == ["10 s", "10 min", "2.0 h"]


def test_seeds_of_a_comparison_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare(f"{TINY} --seed 5 --out out", tmp_path, monkeypatch) == 0
    assert "3 seeds, S-Adam's accuracy against AdamW's: " in capsys.readouterr().out
    names = sorted(path.name[:7] for path in (tmp_path / "out" / "seeds").iterdir())
    assert names == ["seed-5-", "seed-6-", "seed-7-"]
