"""From the lab to a file and back: what is saved, and where training goes on from."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch import nn

from app.checkpoints import read_checkpoint
from app.experiment import Experiment
from app.live.run import Run
from app.live.trainer import Trainer
from app.report.networks import networks_of
from app.report.resume import start_of
from app.report.saving import saved
from app.report.step import moments_of
from tests.app.report_cases import (
    module_of,
    network_of,
    reports,
    safe_checkpoint,
    torch_file,
    trained,
    with_adam,
)


@pytest.mark.parametrize(
    ("scenario", "bits", "place", "lane"),
    [("digits-2bit-batch8", 2, 0, "adamw"), ("digits-gelu", 4, 2, "sadam")],
)
def test_the_lab_saves_a_run_and_the_report_agrees(
    scenario: str, bits: int, place: int, lane: str
) -> None:
    """Adam's state after t steps is what the lab had planned from before the last of them."""
    lanes = ("adamw", "sadam", "rmsprop")
    run = Run(Experiment().change(scenario=scenario).change(bits=bits, lanes=lanes, seeds=2))
    before = run.ensemble.state()
    for _ in range(5):
        before = run.ensemble.state()
        run.advance()
        run.record()
    checkpoint = read_checkpoint(saved(run, lane), "run.pt")
    report = next(reports(checkpoint))
    lab = float(run.history.column("probe_loss")[-1, place])
    assert report.loss == pytest.approx(lab, abs=1e-6)
    assert checkpoint.meta["values"]["loss"] == pytest.approx(lab)
    (assumed, *more) = report.subject.assumptions
    assert assumed.startswith("The file names the demo network")
    assert "have this layout" not in "".join(more), "nothing is guessed"
    assert checkpoint.optimizer is not None
    assert checkpoint.optimizer.lr == run.experiment.lr
    network = networks_of(checkpoint.tensors, values=checkpoint.meta["values"])[0]
    kept = moments_of(run.objective.layout, network, checkpoint.optimizer)
    assert kept.step == 5
    for found, name in ((kept.m, "m"), (kept.v, "v")):
        expected = before[name][place].double()
        assert float((found - expected).norm() / expected.norm()) < 1e-6
    assert "optimizer_state_dict" not in opened(saved(run, "rmsprop")), "it keeps no m"


def opened(data: bytes) -> dict[str, Any]:
    return torch.load(io.BytesIO(data), weights_only=True)


def save(trainer: Trainer, lane: str) -> bytes:
    return trainer.ask(lambda run: saved(run, lane)).result(30)


def test_a_trainer_saves_between_two_steps() -> None:
    trainer = Trainer(Experiment().change(scenario="moons"))
    try:
        first = opened(save(trainer, "adamw"))
        assert first["step"] == 0
        assert "optimizer_state_dict" not in first, "nothing is kept before the first step"
        trainer.step()
        second = opened(save(trainer, "adamw"))
        trainer.run()
        third = opened(save(trainer, "sadam"))
        assert second["step"] == 1 <= third["step"]
        for content in (second, third):
            (steps,) = {
                int(kept["step"]) for kept in content["optimizer_state_dict"]["state"].values()
            }
            assert steps == content["step"]
    finally:
        trainer.close()
        assert trainer.join(10)


def test_training_from_here_starts_where_the_file_stands() -> None:
    run = trained("digits-32bit", 5)
    module = module_of(run)
    assert run.problem.probe is not None
    content = with_adam(module, run.problem.probe, steps=2)
    checkpoint = read_checkpoint(torch_file(content), "run.pt")
    start = start_of(network_of(checkpoint, "digits-32bit"), checkpoint, "run.pt")
    assert start is not None
    assert (start.scenario, start.bits, start.lr) == ("digits-32bit", 32, 0.01)
    assert torch.equal(start.theta, nn.utils.parameters_to_vector(module.parameters()).detach())
    kept = content["optimizer_state_dict"]["state"]  # type: ignore[index]
    assert start.moments is not None
    assert start.moments[2] == 2
    for flat, name in zip(start.moments[:2], ("exp_avg", "exp_avg_sq"), strict=True):
        assert torch.equal(flat, torch.cat([kept[i][name].reshape(-1) for i in range(6)]))
    bare = safe_checkpoint(dict(module.state_dict()))
    without = start_of(network_of(bare, "digits-32bit"), bare, "\n.pt")
    assert without is not None
    assert without.moments is None
    assert without.words == (
        "Every optimizer starts from the weights of '\\n.pt'; the file has no state of Adam's that "
        "fits."
    )


def test_a_resumed_run_goes_on_as_if_it_had_never_stopped() -> None:
    experiment = Experiment().change(scenario="digits-gelu").change(lanes=("adamw", "rmsprop"))
    whole = Run(experiment)
    for _ in range(6):
        whole.advance()
        whole.record()
    checkpoint = read_checkpoint(saved(whole, "adamw"), "run.pt")
    start = start_of(network_of(checkpoint, "digits-gelu"), checkpoint, "run.pt")
    resumed = Run(experiment, start)
    assert resumed.ensemble.taken == 6
    assert torch.equal(resumed.ensemble.theta[0], whole.ensemble.theta[0])
    assert torch.equal(resumed.ensemble.theta[1], whole.ensemble.theta[0]), "every lane"
    for run in (whole, resumed):
        for _ in range(4):
            run.advance()
            run.record()
    assert torch.allclose(resumed.ensemble.theta[0], whole.ensemble.theta[0], rtol=0, atol=1e-6)
    # Without the moments it would have gone elsewhere.
    bare = safe_checkpoint(checkpoint.tensors)
    other = Run(experiment, start_of(network_of(bare, "digits-gelu"), bare, "run.pt"))
    for _ in range(4):
        other.advance()
    assert not torch.allclose(other.ensemble.theta[0], whole.ensemble.theta[0], atol=1e-3)
    # A save of what was resumed counts all steps.
    again = opened(saved(resumed, "adamw"))["optimizer_state_dict"]["state"]
    assert {int(kept["step"]) for kept in again.values()} == {10}
