"""The lab's run as a checkpoint: a torch.save file that torch, and the page Checkpoint, read."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from app.report.networks import BITS, NAMED
from sadam.fitting import first_batch
from sadam.lanes import LANES, learning_rate

if TYPE_CHECKING:
    from app.live.run import Run


def saved(run: Run, lane: str) -> bytes:
    """One lane of the shown seed as it now stands.

    Args:
        run: of a network, between two steps.
        lane: one of the experiment's.

    Returns:
        A file with "model_state_dict", with "optimizer_state_dict" for a lane of Adam's rule that
        has taken a step and still trains, and with plain values: scenario, bits, lane, seed,
        step and the loss on the probe set.
    """
    place = run.experiment.lanes.index(lane) * len(run.ensemble.seeds)
    seed, taken = run.ensemble.seeds[0], run.ensemble.taken + run.step
    module = run.problem.network(seed)
    nn.utils.vector_to_parameters(run.ensemble.theta[place], module.parameters())
    content: dict[str, Any] = {
        "model_state_dict": module.state_dict(),
        NAMED: run.experiment.scenario,
        BITS: run.experiment.bits,
        "lane": lane,
        "seed": seed,
        "step": taken,
        "loss": float(run.history.column("probe_loss")[-1, place]),
    }
    if (
        LANES[lane].rule == "adam"
        and run.ensemble.taken + run.step
        and bool(run.ensemble.alive[place])
    ):
        content["optimizer_state_dict"] = _adam(run, place, module, lane)
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def _adam(run: Run, place: int, module: nn.Module, lane: str) -> dict[str, Any]:
    """AdamW's state after the steps taken, in torch's own form."""
    s = run.ensemble.settings
    lr = learning_rate(LANES[lane], s, run.step)
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=lr, betas=s.betas, eps=s.eps, weight_decay=s.weight_decay
    )
    kept = optimizer.state_dict()
    parts = [parameter.numel() for parameter in module.parameters()]
    m, v = (flat.split(parts) for flat in _moments(run, place))
    kept["state"] = {
        i: {
            "step": torch.tensor(float(run.ensemble.taken + run.step)),
            "exp_avg": m[i].reshape(parameter.shape).clone(),
            "exp_avg_sq": v[i].reshape(parameter.shape).clone(),
        }
        for i, parameter in enumerate(module.parameters())
    }
    return kept


def _moments(run: Run, place: int) -> tuple[Tensor, Tensor]:
    """m and v (P,) after the steps taken.

    The ensemble has planned its next step, so its own hold the present gradient already; taking
    that out again, m = (m' - (1 - beta1) g) / beta1, is exact but for rounding.
    """
    ensemble = run.ensemble
    planned = ensemble.state()
    objective, theta = run.objective, ensemble.theta[place][None]
    assert ensemble.batches is not None
    batch = first_batch(ensemble.batch, ensemble.batches.full)
    assert batch is not None
    g = objective.with_batch(batch).gradients(theta)[0].double()
    beta1, beta2 = ensemble.settings.betas
    m = (planned["m"][place].double() - (1 - beta1) * g) / beta1
    v = (planned["v"][place].double() - (1 - beta2) * g * g) / beta2
    return m.float(), v.clamp(min=0.0).float()
