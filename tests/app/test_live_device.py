"""Which device the live page trains on, and that a wrong one gets a sentence."""

import pytest
import torch

from app.experiment import Experiment
from app.live.run import Run, chosen_device, on_device
from demo_models.problem import build
from demo_models.scenarios import SCENARIOS


def test_the_cpu_unless_asked(monkeypatch):
    monkeypatch.delenv("CHATTERSCOPE_DEVICE", raising=False)
    assert chosen_device() == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda", "gpu", "", "meta", "cpu:7"])
def test_a_device_that_is_not_there(name, monkeypatch):
    monkeypatch.setenv("CHATTERSCOPE_DEVICE", name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="CHATTERSCOPE_DEVICE is") as error:
        Run(Experiment())
    assert f"is {name!r}; this machine has cpu: choose one" in str(error.value)


def test_samples_that_are_shared_stay_shared():
    problem = build(SCENARIOS["digits-2bit"])
    assert problem.train is not None
    assert problem.probe is not None
    assert problem.probe[0] is problem.train[0]
    moved = on_device(problem, torch.device("meta"))
    assert moved.train is not None
    assert moved.train[0].device.type == "meta"
    assert moved.probe is not None
    assert moved.probe[0] is moved.train[0]
    assert moved.test is not None
    assert moved.test[1].device.type == "meta"
    assert moved.quantized == problem.quantized


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="cuda: no NVIDIA GPU here")
@pytest.mark.parametrize("scenario", ["digits-2bit", "cnn-2bit"])
def test_a_run_on_a_gpu(scenario, monkeypatch):
    monkeypatch.setenv("CHATTERSCOPE_DEVICE", "cuda")
    run = Run(Experiment().change(scenario=scenario))
    for _ in range(3):
        run.advance()
        run.record()
    assert run.ensemble.theta.is_cuda
    assert run.known()["last"] == 3
