"""SAdam as an optimizer: AdamW at lambda 0, exact restore, groups, state, schedulers."""

import copy
import math
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from sadam import SAdam, flat, points, probing, update


def net(seed: int = 0, dtype: torch.dtype = torch.float64) -> nn.Sequential:
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3)).to(dtype)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=dtype) / 3)
    return model


GENERATOR = torch.Generator().manual_seed(1)
X = torch.randn(20, 5, generator=GENERATOR, dtype=torch.float64)
Y = torch.randint(3, (20,), generator=GENERATOR)


def closure_of(model: nn.Module, optimizer: torch.optim.Optimizer):
    def closure(backward: bool = True) -> Tensor:
        loss = nn.functional.cross_entropy(model(X.to(next(model.parameters()).dtype)), Y)
        if backward:
            optimizer.zero_grad()
            loss.backward()
        return loss

    return closure


def values(model: nn.Module) -> list[Tensor]:
    return [t.detach().clone() for t in (*model.parameters(), *model.buffers())]


def same_bits(found: list[Tensor], expected: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def adamw_gap(eps_of_step) -> tuple[float, float]:
    """Largest difference of SAdam(lambda 0) from AdamW over 50 steps, and how far both go."""
    ours, theirs = net(), net()
    a = SAdam(ours.parameters(), lr=1e-2, lgi_lambda=0.0)
    b = torch.optim.AdamW(theirs.parameters(), lr=1e-2)
    gap = 0.0
    for t in range(1, 51):
        a.step(closure_of(ours, a))
        b.param_groups[0]["eps"] = eps_of_step(t)
        b.step(closure_of(theirs, b))
        pairs = zip(ours.parameters(), theirs.parameters(), strict=True)
        gap = max(gap, *((p - q).abs().max().item() for p, q in pairs))
    pairs = zip(ours.parameters(), net().parameters(), strict=True)
    moved = max((p - q).abs().max().item() for p, q in pairs)
    return gap, moved


def test_lambda_0_is_adamw_with_its_eps_elsewhere():
    # sqrt(v) + eps, corrected together, equals AdamW with eps / sqrt(1 - beta2^t).
    gap, moved = adamw_gap(lambda t: 1e-8 / math.sqrt(1 - 0.999**t))
    assert gap <= 1e-14
    assert moved > 0.1


def test_the_place_of_eps_moves_parameters_by_a_measured_amount():
    # eps 1e-8 acts like 3.2e-7 at the first step; measured: 2.0e-5 on parameters that move 0.52.
    gap, _ = adamw_gap(lambda _: 1e-8)
    assert 1e-6 < gap < 1e-4


def test_lambda_0_measures_nothing_and_records_nan():
    model, calls = net(), []
    optimizer = SAdam(model.parameters(), lgi_lambda=0.0)
    closure = closure_of(model, optimizer)
    optimizer.step(lambda backward: calls.append(backward) or closure(backward))
    assert calls == [True]
    assert math.isnan(optimizer.lgi_history[0])
    assert optimizer.damping_history == [1.0]


def test_the_closure_runs_once_with_and_k_times_without_gradient():
    model, calls = net(), []
    optimizer = SAdam(model.parameters(), k_directions=3)
    closure = closure_of(model, optimizer)

    def counted(backward: bool) -> Tensor:
        calls.append((backward, torch.is_grad_enabled()))
        return closure(backward)

    loss = optimizer.step(counted)
    assert calls == [(True, True)] + 3 * [(False, False)]
    assert not loss.requires_grad
    assert len(optimizer.lgi_history) == len(optimizer.damping_history) == 1
    rho = optimizer.lgi_history[0]
    assert optimizer.damping_history[0] == pytest.approx(math.exp(-2 * rho), rel=1e-12)


@pytest.mark.parametrize("sphere", ["tensor", "global"])
def test_the_probes_have_the_length_of_sigma(sphere: str):
    model, seen = net(), []
    start = values(model)
    optimizer = SAdam(model.parameters(), sigma=0.25, k_directions=2, sphere=sphere)
    closure = closure_of(model, optimizer)

    def watched(backward: bool) -> Tensor:
        if not backward:
            seen.append([(p - q).norm().item() for p, q in zip(values(model), start, strict=True)])
        return closure(backward)

    optimizer.step(watched)
    for lengths in seen:
        if sphere == "tensor":
            assert lengths == pytest.approx(4 * [0.25], rel=1e-12)
        else:
            assert math.hypot(*lengths) == pytest.approx(0.25, rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_probing_restores_every_bit(dtype: torch.dtype):
    model = net(dtype=dtype)
    before = values(model)
    optimizer = SAdam(model.parameters(), lr=0.0, k_directions=4, sigma=0.3)
    for _ in range(3):
        optimizer.step(closure_of(model, optimizer))
    assert same_bits(values(model), before)


@pytest.mark.parametrize("batched", [False, True], ids=["loop", "vmap"])
def test_probing_restores_every_bit_when_the_closure_raises(
    batched: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(probing, "faster", lambda *_: True)
    model = net()
    optimizer = SAdam(model.parameters(), k_directions=3, module=model if batched else None)
    good = closure_of(model, optimizer)
    optimizer.step(good)
    before, state = values(model), copy.deepcopy(optimizer.state_dict())
    calls = []

    def bad(backward: bool) -> Tensor:
        loss = good(backward)
        if not backward:
            calls.append(1)
            if batched or len(calls) == 2:
                raise ZeroDivisionError("the data ran out")
        return loss

    refused = pytest.warns(UserWarning, match="data ran out") if batched else nullcontext()
    with refused, pytest.raises(ZeroDivisionError, match="the data ran out"):
        optimizer.step(bad)
    assert same_bits(values(model), before)
    assert all(p.grad is not None for p in model.parameters())
    after = optimizer.state_dict()
    for i, entry in state["state"].items():
        assert entry["step"] == after["state"][i]["step"] == 1
        assert torch.equal(entry["exp_avg"], after["state"][i]["exp_avg"])
    assert len(optimizer.lgi_history) == 1


def test_parameters_without_a_gradient_are_neither_probed_nor_moved():
    model = net()
    model[0].requires_grad_(False)
    frozen, moved = values(model)[:2], []
    optimizer = SAdam(model.parameters(), lr=0.1, weight_decay=0.5)
    closure = closure_of(model, optimizer)

    def watched(backward: bool) -> Tensor:
        moved.append(not same_bits(values(model)[:2], frozen))
        return closure(backward)

    before = values(model)[2:]
    optimizer.step(watched)
    assert moved == [False, False, False]
    assert same_bits(values(model)[:2], frozen)
    assert not same_bits(values(model)[2:], before)
    assert len(optimizer.state) == 2


def test_a_closure_that_clears_gradients_on_every_call_still_trains():
    models = [net(), net()]
    for i, model in enumerate(models):
        optimizer = SAdam(model.parameters(), lr=0.1)
        tidy = closure_of(model, optimizer)
        torch.manual_seed(3)

        def careless(backward: bool, tidy=tidy, optimizer=optimizer) -> Tensor:
            if not backward:
                optimizer.zero_grad()
            return tidy(backward)

        optimizer.step(careless if i else tidy)
    assert same_bits(values(models[0]), values(models[1]))
    assert not same_bits(values(models[0]), values(net()))


def test_parameters_stay_where_they_are():
    model = net()
    model[0].weight.data = model[0].weight.data.T.contiguous().T  # not in the usual order
    optimizer = SAdam(model.parameters(), lr=0.05)
    before = [(p.data_ptr(), p.stride()) for p in model.parameters()]
    other = net()
    twin = SAdam(other.parameters(), lr=0.05)
    for each, own in ((model, optimizer), (other, twin)):
        torch.manual_seed(6)
        for _ in range(3):
            own.step(closure_of(each, own))
    assert [(p.data_ptr(), p.stride()) for p in model.parameters()] == before
    for p, q in zip(values(model), values(other), strict=True):
        assert (p - q).abs().max() <= 1e-14


def test_parameters_of_two_dtypes_train_together():
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3).double())
    model[1].register_forward_hook(lambda _, __, out: out.double())
    optimizer = SAdam(model.parameters(), lr=0.05, sphere="global", sigma=0.25)
    seen, before = [], values(model)

    def closure(backward: bool) -> Tensor:
        if not backward:
            gaps = [(p - q).double().norm() for p, q in zip(values(model), before, strict=True)]
            seen.append(torch.stack(gaps).norm().item())
        loss = nn.functional.cross_entropy(model(X.float()), Y)
        if backward:
            optimizer.zero_grad()
            loss.backward()
        return loss

    optimizer.step(closure)
    assert seen == pytest.approx([0.25, 0.25], rel=1e-5)
    assert all(not torch.equal(p, q) for p, q in zip(values(model), before, strict=True))


@pytest.mark.parametrize("sphere", ["tensor", "global"])
def test_few_points_at_a_time_measure_the_same(sphere: str, monkeypatch: pytest.MonkeyPatch):
    found = []
    for block in (1 << 20, 1):  # all seven points at once, and one by one
        for home in (flat, points):
            monkeypatch.setattr(home, "BLOCK_BYTES", block)
        model = net()
        torch.manual_seed(8)
        given = [[torch.randn_like(p) for p in model.parameters()] for _ in range(7)]
        optimizer = SAdam(model.parameters(), k_directions=7, sphere=sphere)
        optimizer.step(closure_of(model, optimizer), directions=given)
        found.append(optimizer.lgi_history[0])
    assert found[0] == pytest.approx(found[1], rel=1e-12)


def test_a_parameter_that_joins_later_counts_its_own_steps():
    model = net()
    model[0].requires_grad_(False)
    optimizer = SAdam(model.parameters(), lr=0.05)
    for _ in range(2):
        optimizer.step(closure_of(model, optimizer))
    model[0].requires_grad_(True)
    optimizer.step(closure_of(model, optimizer))
    steps = [optimizer.state[p]["step"] for p in model.parameters()]
    assert steps == [1, 1, 3, 3]
    # At its first step Adam moves every parameter by a lr, up to eps: sqrt(1 - beta2) / (1 - beta1)
    # times (1 - beta1) g / (sqrt(1 - beta2) |g|).
    before = net()[0].bias
    moved = (model[0].bias - (1 - 0.05 * 0.01) * before).abs()
    assert moved.tolist() == pytest.approx(8 * [0.05 * optimizer.damping_history[-1]], rel=1e-3)


def test_loading_a_state_dict_into_an_optimizer_that_has_stepped():
    a_model, b_model = net(), net()
    a, b = (SAdam(model.parameters(), lr=0.05) for model in (a_model, b_model))
    for model, optimizer, seed in ((a_model, a, 1), (b_model, b, 2)):
        torch.manual_seed(seed)
        for _ in range(3):
            optimizer.step(closure_of(model, optimizer))
    b_model.load_state_dict(a_model.state_dict())
    b.load_state_dict(copy.deepcopy(a.state_dict()))
    for model, optimizer in ((a_model, a), (b_model, b)):
        torch.manual_seed(3)
        optimizer.step(closure_of(model, optimizer))
    assert same_bits(values(a_model), values(b_model))


class NoWaiting(TorchDispatchMode):
    """Refuses to read a number off the device, which would wait for it."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert func is not torch.ops.aten._local_scalar_dense.default, "the host waited"
        return func(*args, **(kwargs or {}))


def test_no_step_waits_for_the_device(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(update, "_has_kernel", lambda _: False)  # as on an accelerator
    model = net()
    optimizer = SAdam(model.parameters(), lr=0.05, k_directions=3)
    closure = closure_of(model, optimizer)
    with NoWaiting():
        for _ in range(3):
            optimizer.step(closure)
    monkeypatch.undo()  # the kernel of a CPU takes the damping as a number, and the guard sees it
    with NoWaiting(), pytest.raises(AssertionError, match="the host waited"):
        optimizer.step(closure)


def test_float32_probes_are_as_good_as_float32_is():
    single = net(dtype=torch.float32)
    double = copy.deepcopy(single).double()
    given = [[torch.randn_like(p) for p in single.parameters()] for _ in range(8)]
    found = []
    for model in (single, double):
        optimizer = SAdam(model.parameters(), k_directions=8)
        closure, losses = closure_of(model, optimizer), []

        def watched(backward: bool, closure=closure, losses=losses) -> Tensor:
            losses.append(closure(backward))
            return losses[-1]

        optimizer.step(watched, directions=given)
        found.append((torch.stack(losses).tolist(), optimizer.lgi_history[0]))
    (losses, rho), (exact, exact_rho) = found
    assert losses == pytest.approx(exact, rel=1e-6)
    assert rho == pytest.approx(exact_rho, rel=2e-2)


def test_two_groups_equal_one_when_they_agree():
    one, two = net(), net()
    a = SAdam(one.parameters(), lr=0.05)
    b = SAdam([{"params": two[0].parameters()}, {"params": two[2].parameters()}], lr=0.05)
    for model, optimizer in ((one, a), (two, b)):
        torch.manual_seed(5)
        for _ in range(4):
            optimizer.step(closure_of(model, optimizer))
    assert same_bits(values(one), values(two))
    assert a.lgi_history == b.lgi_history


def test_groups_have_their_own_learning_rates():
    model = net()
    before = values(model)
    groups = [{"params": model[0].parameters(), "lr": 0.0}, {"params": model[2].parameters()}]
    optimizer = SAdam(groups, lr=0.05)
    optimizer.step(closure_of(model, optimizer))
    assert same_bits(values(model)[:2], before[:2])
    assert not same_bits(values(model)[2:], before[2:])


def test_a_state_dict_goes_on_bit_for_bit():
    straight, broken = net(), net()
    a = SAdam(straight.parameters(), lr=0.05)
    b = SAdam(broken.parameters(), lr=0.05)
    for model, optimizer in ((straight, a), (broken, b)):
        torch.manual_seed(9)
        for _ in range(5):
            optimizer.step(closure_of(model, optimizer))
    saved = copy.deepcopy(b.state_dict())
    resumed = net(seed=7)
    resumed.load_state_dict(broken.state_dict())
    c = SAdam(resumed.parameters(), lr=1.0, sigma=5.0)
    c.load_state_dict(saved)
    assert c.param_groups[0]["sigma"] == 0.01
    for model, optimizer in ((straight, a), (resumed, c)):
        torch.manual_seed(10)
        for _ in range(5):
            optimizer.step(closure_of(model, optimizer))
    assert same_bits(values(straight), values(resumed))
    assert len(c.lgi_history) == 5  # what was measured before is not state
    assert c.lgi_history == a.lgi_history[5:]


def test_an_adamw_checkpoint_can_be_continued():
    model = net()
    adamw = torch.optim.AdamW(model.parameters(), lr=0.05)
    adamw.step(closure_of(model, adamw))
    optimizer = SAdam(model.parameters())
    optimizer.load_state_dict(adamw.state_dict())
    optimizer.step(closure_of(model, optimizer))
    assert optimizer.param_groups[0]["lr"] == 0.05
    assert optimizer.param_groups[0]["sigma"] == 0.01
    assert optimizer.state[model[0].weight]["step"] == 2


def test_a_deep_copy_trains_on_its_own():
    model = net()
    optimizer = SAdam(model.parameters(), lr=0.05)
    optimizer.step(closure_of(model, optimizer))
    twin_model, twin = copy.deepcopy((model, optimizer))
    before = values(model)
    twin.step(closure_of(twin_model, twin))
    assert same_bits(values(model), before)
    assert not same_bits(values(twin_model), before)
    assert len(twin.lgi_history) == 1


def test_a_scheduler_governs_the_learning_rate():
    scheduled, by_hand = net(), net()
    a = SAdam(scheduled.parameters(), lr=0.08)
    b = SAdam(by_hand.parameters(), lr=0.08)
    scheduler = torch.optim.lr_scheduler.StepLR(a, step_size=1, gamma=0.5)
    torch.manual_seed(4)
    for _ in range(3):
        a.step(closure_of(scheduled, a))
        scheduler.step()
    torch.manual_seed(4)
    for lr in (0.08, 0.04, 0.02):
        b.param_groups[0]["lr"] = lr
        b.step(closure_of(by_hand, b))
    assert a.param_groups[0]["lr"] == 0.01
    assert same_bits(values(scheduled), values(by_hand))


def test_histories_survive_being_read_at_any_time():
    model = net()
    a = SAdam(model.parameters(), lr=0.0)
    torch.manual_seed(1)
    read = []
    for _ in range(4):
        a.step(closure_of(model, a))
        read.append(a.lgi_history[-1])
    assert read == a.lgi_history
    assert len(set(read)) == 4
