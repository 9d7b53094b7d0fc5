import threading

import pytest
import torch

from probes.directions import draw_directions, normalize_directions


def test_draws_are_a_pure_function_of_seed_and_step():
    first = draw_directions(3, 50, seed=4, step=9)
    torch.manual_seed(0)
    torch.randn(7)
    assert torch.equal(draw_directions(3, 50, seed=4, step=9), first)
    assert not torch.equal(draw_directions(3, 50, seed=4, step=10), first)
    assert not torch.equal(draw_directions(3, 50, seed=5, step=9), first)
    assert not torch.equal(draw_directions(3, 50, seed=9, step=4), first)


def test_draws_agree_in_every_dtype():
    single = draw_directions(3, 50, seed=4)
    double = draw_directions(3, 50, seed=4, dtype=torch.float64)
    assert single.dtype == torch.float32
    assert torch.equal(single.double(), double)


def test_draws_are_standard_normal(objective):
    draws = draw_directions(2000, objective.layout, seed=0, dtype=torch.float64)
    assert draws.shape == (2000, 75)
    assert draws.mean().abs() < 0.01
    assert draws.var().item() == pytest.approx(1.0, abs=0.02)
    assert (draws.pow(4).mean() / 3.0).item() == pytest.approx(1.0, abs=0.05)


def test_draws_in_two_threads_are_the_draws_of_one():
    expected = [draw_directions(2, 300, seed=s) for s in range(60)]
    wrong = []

    def work():
        for seed, draws in enumerate(expected):
            if not torch.equal(draw_directions(2, 300, seed=seed), draws):
                wrong.append(seed)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_per_tensor_norms_are_one(objective):
    raw = draw_directions(6, objective.layout, seed=1, dtype=torch.float64).view(2, 3, -1)
    unit = normalize_directions(raw, objective.layout)
    assert unit.shape == raw.shape
    for entry in objective.layout:
        part = slice(entry.start, entry.stop)
        norms = unit[..., part].norm(dim=-1)
        torch.testing.assert_close(norms, torch.ones_like(norms), rtol=0, atol=1e-11)
        scaled = unit[..., part] * raw[..., part].norm(dim=-1, keepdim=True)
        torch.testing.assert_close(scaled, raw[..., part])


def test_the_global_norm_is_one(objective):
    raw = draw_directions(4, objective.layout, seed=1, dtype=torch.float64)
    unit = normalize_directions(raw, objective.layout, "global")
    torch.testing.assert_close(unit.norm(dim=-1), torch.ones(4, dtype=torch.float64))
    torch.testing.assert_close(unit * raw.norm(dim=-1, keepdim=True), raw)


def test_a_zero_draw_stays_zero(objective):
    zero = torch.zeros(1, objective.size)
    assert torch.equal(normalize_directions(zero, objective.layout), zero)


def test_bad_values(objective):
    with pytest.raises(ValueError, match="k is 0, expected at least 1 direction"):
        draw_directions(0, 5, seed=0)
    with pytest.raises(ValueError, match="seed and step are -1 and 0, expected integers from 0"):
        draw_directions(1, 5, seed=-1)
    with pytest.raises(ValueError, match="sphere is 'cube', expected 'tensor' or 'global'"):
        normalize_directions(torch.ones(1, 75), objective.layout, "cube")
