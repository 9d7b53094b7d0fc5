"""The update over leading batches, against the same update one run at a time."""

import math

import pytest
import torch

from sadam import update
from sadam.update import damping_from_lgi, sadam_update_, sadam_updates_

HYPER = {"betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.1}


def test_damping():
    rho = torch.tensor([0.0, 0.5, 1.0, 20.0, math.nan], dtype=torch.float64)
    found = damping_from_lgi(rho, 2.0, 10.0).tolist()
    expected = [1.0, math.exp(-1), math.exp(-2), math.exp(-20)]
    assert found[:4] == pytest.approx(expected, rel=1e-15)
    assert math.isnan(found[4])


def test_the_first_step_by_hand():
    theta = torch.tensor([2.0, -3.0], dtype=torch.float64)
    gradient = torch.tensor([0.5, -0.1], dtype=torch.float64)
    m, v = torch.zeros(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    sadam_update_(theta, gradient, m, v, 1, damping=0.25, lr=0.1, **HYPER)
    # m = 0.1 g and v = 0.01 g^2, so the bias-corrected ratio is sign(g) but for eps.
    assert theta.tolist() == pytest.approx([2 * 0.99 - 0.025, -3 * 0.99 + 0.025], abs=1e-7)
    assert m.tolist() == pytest.approx([0.05, -0.01])
    assert v.tolist() == pytest.approx([0.0025, 0.0001])


@pytest.mark.parametrize("runs", [(3,), (2, 3)])
def test_runs_do_not_meet(runs: tuple[int, ...]):
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    theta, gradient, m = (normal(*runs, 4, 5) for _ in range(3))
    v = normal(*runs, 4, 5).square()
    damping, lr = normal(*runs).sigmoid(), normal(*runs).sigmoid()
    alone = [t.clone().flatten(0, len(runs) - 1) for t in (theta, m, v)]
    sadam_update_(theta, gradient, m, v, 7, damping=damping, lr=lr, **HYPER)
    for r in range(math.prod(runs)):
        a, rate = damping.flatten()[r].item(), lr.flatten()[r].item()
        own = gradient.flatten(0, len(runs) - 1)[r]
        sadam_update_(alone[0][r], own, alone[1][r], alone[2][r], 7, damping=a, lr=rate, **HYPER)
    for found, expected in zip((theta, m, v), alone, strict=True):
        assert (found.flatten(0, len(runs) - 1) - expected).abs().max() <= 1e-15


def drawn(*shape: int, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    """theta, gradient, m and v >= 0."""
    generator = torch.Generator().manual_seed(1)
    made = [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(4)]
    return [t.to(dtype) for t in (*made[:3], made[3].abs())]


def both(tensors: list[list[torch.Tensor]], damping: torch.Tensor, **hyper) -> tuple[list, list]:
    """What some steps make of theta, m and v: taken together, and one tensor at a time."""
    hyper = HYPER | {"lr": 1e-2} | hyper
    alone = [[t.clone() for t in own] for own in tensors]
    for step in range(1, 5):
        sadam_updates_(*map(list, zip(*tensors, strict=True)), step, damping=damping, **hyper)
        for own in alone:
            sadam_update_(*own, step, damping=damping, **hyper)
    return tensors, alone


@pytest.mark.parametrize("hyper", [{}, {"eps": 0.0, "betas": (0.0, 0.5)}, {"lr": 0.0}])
@pytest.mark.parametrize("a", [0.4, 0.0, math.nan])
def test_the_kernel_takes_the_same_step(a: float, hyper: dict):
    damping = torch.tensor(a).double()
    together, alone = both([drawn(5), drawn(3, 70), drawn()], damping, **hyper)
    torch.testing.assert_close(together, alone, rtol=1e-12, atol=1e-14, equal_nan=True)
    assert hyper.get("lr") == 0.0 or not torch.equal(together[0][0], drawn(5)[0])


@pytest.mark.parametrize("why", ["accelerator", "dtype", "strides"])
def test_what_the_kernel_cannot_take_goes_one_by_one(why: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch, "_fused_adam_", None)  # not to be called
    if why == "accelerator":
        monkeypatch.setattr(update, "_has_kernel", lambda _: False)
    dtype = torch.bfloat16 if why == "dtype" else torch.float64
    tensors = drawn(2, 6, dtype=dtype)
    if why == "strides":
        tensors[0] = tensors[0].T.contiguous().T
    together, alone = both([tensors], torch.tensor(0.5, dtype=dtype))
    assert all(torch.equal(x, y) for x, y in zip(together[0], alone[0], strict=True))
