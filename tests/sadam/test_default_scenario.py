"""What the page opens with and what it is compared to, trained as the page trains them."""

import numpy as np
import pytest
import torch

from demo_models.problem import build
from demo_models.scenarios import DEFAULT, SCENARIOS
from probes import Objective
from sadam import DEFAULT_LANES, LANES, Batches, Ensemble, History, Lane, Settings
from sadam.promises import broken_promises, loss_jump, promise_kept

THREE = [LANES[key] for key in DEFAULT_LANES]


def trained(
    key: str, seeds: list[int], steps: int, lanes: list[Lane] = THREE, lr: float | None = None
) -> History:
    scenario = SCENARIOS[key]
    problem = build(scenario)
    assert problem.train
    assert problem.probe
    ensemble = Ensemble(
        Objective.from_module(problem.network(0), problem.loss, problem.probe),
        lanes,
        seeds=seeds,
        initial=torch.stack([problem.start(seed) for seed in seeds]),
        batches=Batches(*problem.train, size=scenario.batch, seeds=seeds),
        settings=Settings(lr=scenario.lr if lr is None else lr),
    )
    history = History()
    history.append(ensemble.record)
    for _ in range(steps):
        history.append(ensemble.step())
    return history


def promises(history: History, run: int, start: int = 0) -> tuple[float | None, float | None]:
    """Kept and broken, from a step on."""
    promised, got = (history.column(name)[start:, run] for name in ("promised", "got"))
    return promise_kept(promised, got), broken_promises(promised, got)


def test_by_default_adamw_chatters_five_times_as_much_as_the_others():
    history = trained(DEFAULT, [0, 1, 2, 3], 300)
    losses = history.column("probe_loss")[100:].reshape(-1, 3, 4)
    jumps = [np.mean([loss_jump(losses[:, lane, seed]) for seed in range(4)]) for lane in range(3)]
    adamw, sadam, smaller = jumps  # 1.53, 0.159, 0.172 when this was written
    assert adamw >= 5 * sadam
    assert adamw >= 5 * smaller
    # Almost half of what promised a fall rose instead, under the other two as well.
    for run in range(12):
        kept, broken = promises(history, run, 100)
        assert abs(kept) < 0.2
        assert 0.3 < broken < 0.7


@pytest.mark.parametrize("seed", [0, 2])
def test_a_smooth_full_batch_run_keeps_its_promises(seed: int):
    history = trained("digits-gelu", [seed], 160, lr=0.003)
    for lane in range(3):
        kept, broken = promises(history, lane)
        assert kept == pytest.approx(1, abs=0.05)
        assert broken < 0.01


def test_at_its_own_rate_a_smooth_run_first_overshoots_its_tangent():
    # At lr 0.01 a step of AdamW is so long that the loss bends under it: its first 160 steps keep
    # 0.83 to 0.86 of what they promise (seeds 0-3), and none is broken. From step 100 on it keeps
    # 0.996. Only there, or at lr 0.003 from the start, do promises hold within 5 %.
    history = trained("digits-gelu", [0], 200, lanes=[LANES["adamw"]])
    kept, broken = promises(history, 0)
    assert 0.75 < kept < 0.95
    assert broken == 0
    kept, broken = promises(history, 0, 100)
    assert kept == pytest.approx(1, abs=0.05)
    assert broken == 0
