"""The page's thread: uploads are read beside, measured in turns, cancelled and refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
import torch
from safetensors.torch import save
from torch import nn

from app.live import inspecting
from app.live.gate import Gate
from app.live.inspecting import Desk, Inspector, Progress, Request, Upload
from app.report import registered
from demo_models.problem import build
from demo_models.scenarios import SCENARIOS
from tests.app.report_cases import tiny, torch_file
from tests.app.test_report_page import Payload

SECONDS = 60


@pytest.fixture
def inspector() -> Iterator[Inspector]:
    made = Inspector(Gate(1), "test")
    yield made
    made.close()
    assert made.join(20)


def upload(data: bytes, name: str = "model.safetensors", key: str = "a") -> Upload:
    return Upload(key, name, data)


def settled(inspector: Inspector) -> Progress:
    assert inspector.settled.wait(SECONDS)
    return inspector.progress()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_an_upload_becomes_a_report(inspector: Inspector) -> None:
    assert inspector.progress().state == "empty"
    inspector.ask(Request(upload(save(dict(tiny().state_dict())))))
    assert inspector.progress().working
    progress = settled(inspector)
    assert progress.state == "finished"
    assert progress.networks == {"inferred": "plain MLP, 2-5-4-3, relu"}
    assert progress.network == "inferred"
    assert progress.report is not None
    assert progress.report.done == 1.0
    assert progress.found[0].startswith("A safetensors file of 6 tensors, 54 numbers")


def test_a_hostile_file_is_a_sentence_and_the_next_one_is_read(
    inspector: Inspector, tmp_path: object
) -> None:
    marker = tmp_path / "marker"  # type: ignore[operator]
    inspector.ask(Request(upload(torch_file({"x": Payload(marker)}), "model.pt")))
    progress = settled(inspector)
    assert progress.state == "failed"
    assert progress.report is None
    assert "; expected " in progress.message
    assert not marker.exists()
    inspector.ask(Request(upload(save(dict(tiny().state_dict())), key="b")))
    assert settled(inspector).state == "finished"


def test_no_network_and_bad_data_are_sentences(inspector: Inspector) -> None:
    inspector.ask(Request(upload(save({"a": torch.zeros(3)}))))
    progress = settled(inspector)
    assert progress.message.startswith("The file's tensors fit no network: 'a' of shape (3,)")
    assert progress.found, "what was found is shown all the same"
    file = upload(save(dict(tiny().state_dict())), key="b")
    inspector.ask(Request(file, data=upload(b"1,2,3,0\n1,2,3,1\n", "d.csv", "d")))
    assert "a sample of X has 3 numbers; expected 2" in settled(inspector).message
    inspector.ask(Request(file, data=upload(b"a,b\n", "d.csv", "e")))
    assert settled(inspector).message.startswith("The data: ")


def test_cancel_keeps_what_was_measured_and_a_newer_request_wins(inspector: Inspector) -> None:
    slow = build(SCENARIOS["cnn-2bit"]).network(0).state_dict()
    inspector.ask(Request(upload(save(dict(slow)))))
    until(lambda: inspector.progress().report is not None)
    inspector.cancel()
    progress = settled(inspector)
    assert progress.state == "cancelled"
    assert progress.report is not None
    assert progress.report.done < 1
    kept = inspector.progress()
    inspector.ask(Request(upload(save(dict(slow)), key="b")))
    inspector.ask(Request(upload(save(dict(tiny().state_dict())), key="c")))
    progress = settled(inspector)
    assert progress.state == "finished"
    assert progress.network == "inferred"
    assert progress.report is not kept.report


def test_another_choice_of_network_reads_the_file_only_once(
    inspector: Inspector, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    monkeypatch.setattr(
        inspecting,
        "read_checkpoint",
        lambda *given: read.append(given[1]) or original(*given),
    )
    original = __import__("app.checkpoints", fromlist=["x"]).read_checkpoint
    file = upload(save(dict(build(SCENARIOS["digits-2bit"]).network(0).state_dict())))
    inspector.ask(Request(file))
    until(lambda: inspector.progress().network != "")
    offered = inspector.progress().networks
    assert len(offered) == 5
    for key in ("digits-4bit", "digits-gelu"):
        inspector.ask(Request(file, network=key))
        assert inspector.progress().networks == offered, "the choice stays on the page"
        until(lambda key=key: inspector.progress().network == key)
        until(lambda: inspector.progress().report is not None)
    inspector.cancel()
    assert read == ["model.safetensors"]


def test_the_servers_own_network_is_offered_and_a_miss_is_told(
    inspector: Inspector, monkeypatch: pytest.MonkeyPatch
) -> None:
    def factory() -> nn.Module:
        return nn.Sequential(nn.Linear(2, 5), nn.SiLU(), nn.Linear(5, 3))

    monkeypatch.setattr(registered, "_registered", [factory])
    made = factory()
    inspector.ask(Request(upload(save(dict(made.state_dict())))))
    progress = settled(inspector)
    assert list(progress.networks) == ["registered", "inferred"]
    assert progress.network == "registered"
    assert progress.misfit == ""
    inspector.ask(Request(upload(save(dict(tiny().state_dict())), key="b")))
    progress = settled(inspector)
    assert progress.network == "inferred", progress
    assert progress.misfit.startswith("The file does not fit the registered network, a Sequential")


def test_a_session_asks_once_and_forgets_charts_of_an_older_report() -> None:
    desk = Desk()
    try:
        request = Request(upload(b"", "x.pt"))
        desk.ask(request)
        asked = desk.inspector._asked
        desk.ask(Request(upload(b"other", "y.pt")))  # the same upload
        assert desk.inspector._asked == asked
        old = {"words": {"title": "a"}, "chart-slice": {"traces": {"z": 1}}}
        assert desk.replacing(old) == old
        new = {"words": {"title": "b"}}
        assert desk.replacing(new) == new | {"chart-slice": {}}
        assert desk.replacing(new) == new
    finally:
        desk.inspector.close()
        assert desk.inspector.join(20)
