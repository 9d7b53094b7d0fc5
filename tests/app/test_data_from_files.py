"""Scenarios whose data come from files: on the page and in `compare`, present, absent, damaged."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from streamlit.testing.v1 import AppTest

from app.experiment import Experiment
from app.live.run import FEWEST_SNAPSHOTS, Run
from app.live.session import Lab
from app.live.view import View
from app.reach import out_of_reach
from demo_models.published import CIFAR, VARIABLE, Archive
from demo_models.scenario import FROM_FILES
from demo_models.scenarios import SCENARIOS
from tests.app.compare_cases import compare
from tests.app.test_page import SCRIPT
from tests.demo_models.test_archives import contents, pack, small

ABSENT = (
    "CIFAR-100 was not found: CHATTERSCOPE_DATA is not set; expected it to name a folder with "
    "cifar-100-binary.tar.gz, or its unpacked folder cifar-100-binary: set it and run `python -m "
    "app data cifar100`, which fetches it, or choose a scenario on digits, which needs no files."
)
#: Two lanes at few rates, on batches that the small files hold.
TUNED = (
    "--scenario cifar100-2bit --lanes adamw,sadam --seeds 2 --steps 3 --batch 8 --tune lr "
    "--rates 1e-3:2e-3"
)


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Archive:
    """CIFAR-100 with 300 images to train and 20 to test, in the folder that the variable names."""
    made = small("cifar100", train=300, test=20)
    monkeypatch.setitem(CIFAR, "cifar100", made)
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    pack(made, contents(made), tmp_path)
    return made


def labs(query: dict[str, str]) -> AppTest:
    page = AppTest.from_file(str(SCRIPT), default_timeout=120)
    for name, value in query.items():
        page.query_params[name] = value
    page.run()
    assert not page.exception
    return page


@pytest.mark.usefixtures("absent")
def test_a_link_to_absent_data_says_so_and_shows_digits() -> None:
    page = labs({"scenario": "cifar100-2bit", "lr": "0.002", "step": "5"})
    assert [text.value for text in page.text] == [f"{ABSENT} Digits are shown instead."]
    lab = page.session_state.lab
    assert (lab.experiment, lab.goal) == (Experiment(), 0)
    assert page.selectbox("field-scenario").value == "digits-2bit"
    lab.trainer.close()


@pytest.mark.usefixtures("absent")
def test_a_choice_of_absent_data_says_so_and_keeps_the_run() -> None:
    page = labs({"steps": "1000"})
    lab = page.session_state.lab
    assert "CIFAR-100, the paper's CNN, batch of 128" in page.selectbox("field-scenario").options
    page.selectbox("field-scenario").set_value("cifar100-2bit").run()
    assert not page.exception
    assert [text.value for text in page.text] == [ABSENT]
    assert page.selectbox("field-scenario").value == "digits-2bit"
    assert lab.experiment.scenario == "digits-2bit"
    page.number_input("field-lr").set_value(0.02).run()
    assert not page.text
    lab.open(Experiment().change(scenario="cifar100-2bit").to_json().encode())
    assert (lab.message, lab.experiment.scenario) == (ABSENT, "digits-2bit")
    lab.trainer.close()


@pytest.fixture
def begin() -> Iterator[Callable[..., Lab]]:
    begun: list[Lab] = []

    def lab(**changes: Any) -> Lab:
        begun.append(Lab(Experiment().change(**changes)))
        return begun[-1]

    yield lab
    for each in begun:
        each.trainer.close()


def wait(lab: Lab, done: Callable[[View], object]) -> View:
    """Poll until a view is as it should be; training goes on in its own thread meanwhile."""
    deadline = time.monotonic() + 120
    while not done(view := lab.trainer.view()):
        assert time.monotonic() < deadline, (view.state, view.message, view.last)
        time.sleep(0.01)
    return view


@pytest.mark.usefixtures("archive")
def test_the_page_trains_it_and_fills_its_views(begin: Callable[..., Lab]) -> None:
    lab = begin(
        scenario="cifar100-2bit",
        lanes=("sadam",),
        batch=16,
        steps=2,
        slice_resolution=9,
        map_resolution=5,
        map_k=2,
    )
    wait(lab, lambda view: view.state == "paused")
    lab.run()
    wait(lab, lambda view: view.state == "finished")
    lab.trainer.compute_maps()
    view = wait(lab, lambda view: view.maps and view.maps.map and not view.maps.working)
    assert view.last == 2
    assert view.samples == 256, "the probe set"
    for name in ("probe_loss", "loss", "accuracy", "path_length"):
        assert np.isfinite(view.columns[name]).all(), name
    shares = view.columns["accuracy"] * 20
    np.testing.assert_allclose(shares, shares.round(), atol=1e-5, err_msg="of the 20 test images")
    assert view.weights == 432 + 4608 + 204_800
    assert view.maps is not None
    assert view.maps.slice is not None
    assert view.maps.map is not None
    assert np.isfinite(view.maps.slice.losses).all()
    assert np.isfinite(view.maps.map.values["lgi"]).all()


@pytest.mark.usefixtures("archive")
def test_many_lanes_of_a_large_network_keep_enough_snapshots() -> None:
    lanes = ("adamw", "sadam", "smaller", "random-law", "asymmetry", "cosine", "rmsprop", "sgd")
    run = Run(Experiment().change(scenario="cifar100-32bit", batch=2, lanes=lanes, k=1))
    for _ in range(2):
        run.advance()
        run.record()
    assert len(run.snapshots) == 3
    assert run.snapshots.state()["limit_bytes"] == FEWEST_SNAPSHOTS * 8 * 209_988 * 4


def test_a_damaged_archive_is_a_sentence_and_digits_go_on(
    archive: Archive, tmp_path: Path, begin: Callable[..., Lab], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / archive.filename
    path.write_bytes(path.read_bytes()[:-2000])
    lab = begin(scenario="cifar100-2bit")
    view = wait(lab, lambda view: view.state == "failed")
    assert view.message.startswith("cifar-100-binary.tar.gz cannot be read (")
    assert view.message.endswith("delete it and run `python -m app data cifar100`.")
    assert "Traceback" not in caplog.text
    lab.change(scenario="digits-2bit")
    assert wait(lab, lambda view: view.samples == 512).message == ""
    pack(archive, contents(archive), tmp_path)
    lab.change(scenario="cifar100-2bit")
    assert wait(lab, lambda view: view.samples == 256).experiment.scenario == "cifar100-2bit"


@pytest.mark.usefixtures("archive")
def test_more_runs_than_a_step_has_time_for_are_a_sentence(begin: Callable[..., Lab]) -> None:
    many = Experiment().change(scenario="cifar100-2bit", seeds=9)
    said = (
        "3 optimizers under 9 seeds are 27 runs; expected at most 24 on the page with this "
        "scenario: choose fewer seeds or optimizers, or compare them on the command line with "
        "`python -m app compare`."
    )
    assert out_of_reach(many) == said
    assert out_of_reach(many.change(seeds=8)) == ""
    assert out_of_reach(Experiment(seeds=32)) == ""
    lab = begin(scenario="cifar100-2bit", batch=16)
    lab.change(seeds=9)
    assert (lab.message, lab.experiment.seeds) == (said, 1)


@pytest.mark.usefixtures("absent")
@pytest.mark.parametrize(
    "key", [key for key, scenario in SCENARIOS.items() if scenario.data in FROM_FILES]
)
def test_compare_names_absent_data_before_it_makes_anything(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare(f"--scenario {key} --jobs 2", tmp_path, monkeypatch) == 2
    said = capsys.readouterr().err
    assert " was not found: CHATTERSCOPE_DATA is not set; expected it to name a folder" in said
    assert (said.count("\n"), list(tmp_path.iterdir())) == (1, [])


def test_compare_tunes_on_training_images_and_scores_on_the_test_split(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def table(out: str, name: str) -> dict[str, list[float]]:
        return pq.read_table(io.BytesIO((tmp_path / out / name).read_bytes())).to_pydict()

    assert compare(f"{TUNED} --out one", tmp_path, monkeypatch) == 0
    files = contents(archive)
    rows = np.frombuffer(files["test.bin"], np.uint8).reshape(20, -1).copy()
    rows[:, 1] = 99 - rows[:, 1]
    other = tmp_path / "other"
    other.mkdir()
    pack(archive, files | {"test.bin": rows.tobytes()}, other)
    monkeypatch.setenv(VARIABLE, str(other))
    assert compare(f"{TUNED} --out two", tmp_path, monkeypatch) == 0
    assert table("one", "tuning.parquet") == table("two", "tuning.parquet")
    one, two = table("one", "runs.parquet"), table("two", "runs.parquet")
    assert (one["lr"], one["loss"]) == (two["lr"], two["loss"])
    assert one["scored_loss"] != two["scored_loss"], "other test labels"
    shares = np.array(one["accuracy"]) * 20
    np.testing.assert_allclose(shares, shares.round(), atol=1e-5)
    words = (tmp_path / "one" / "report.html").read_text("utf-8")
    assert "60 of the 300 training samples, held out while tuning" in words


def test_compare_names_what_is_damaged(
    archive: Archive,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / archive.filename).write_bytes(b"")
    words = "--scenario cifar100-4bit --lanes adamw --steps 2 --batch 4"
    assert compare(words, tmp_path, monkeypatch) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("cifar-100-binary.tar.gz cannot be read (")


def test_a_score_in_parts_is_the_mean_over_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = "--scenario digits-32bit --lanes adamw --seeds 2 --steps 4"
    assert compare(f"{words} --out whole", tmp_path, monkeypatch) == 0
    monkeypatch.setattr("app.compare.train.SCORED_AT_ONCE", 100)
    assert compare(f"{words} --out parts", tmp_path, monkeypatch) == 0
    found = [
        pq.read_table(tmp_path / name / "runs.parquet").to_pydict() for name in ("whole", "parts")
    ]
    for figure in ("accuracy", "scored_loss"):
        one, other = (torch.tensor(table[figure]) for table in found)
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)
