"""What probing through a closure may not disturb, and the probes as one vmap."""

import pytest
import torch
from torch import Tensor, nn

from sadam import SAdam, probing
from tests.sadam.test_optimizer import X, closure_of, net, same_bits, values


def run(model: nn.Module, *, batched: bool, steps: int = 5, k: int = 4, wrap=None) -> SAdam:
    optimizer = SAdam(
        model.parameters(), lr=0.02, k_directions=k, module=model if batched else None
    )
    closure = closure_of(model, optimizer)
    torch.manual_seed(2)
    for _ in range(steps):
        optimizer.step(wrap(closure) if wrap else closure)
    return optimizer


@pytest.fixture
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One vmap, whatever time it takes."""
    monkeypatch.setattr(probing, "faster", lambda *_: True)


def normalized() -> nn.Sequential:
    model = net()
    return nn.Sequential(model[0], nn.BatchNorm1d(8).double(), model[1], model[2])


@pytest.mark.usefixtures("_at_once")
def test_one_vmap_equals_the_loop():
    loop, batched = net(), net()
    a, b = run(loop, batched=False), run(batched, batched=True)
    assert b._probe.at_once
    assert b.lgi_history == pytest.approx(a.lgi_history, rel=1e-9)
    for p, q in zip(values(loop), values(batched), strict=True):
        assert (p - q).abs().max() <= 1e-12


@pytest.mark.usefixtures("_at_once")
def test_one_vmap_calls_the_closure_once():
    model, calls = net(), []
    optimizer = SAdam(model.parameters(), k_directions=6, module=model)
    closure = closure_of(model, optimizer)

    def counted(backward: bool) -> Tensor:
        calls.append(backward)
        return closure(backward)

    optimizer.step(counted)
    calls.clear()  # the first step also held the vmap against the loop
    optimizer.step(counted)
    assert calls == [True, False]


@pytest.mark.usefixtures("_at_once")
@pytest.mark.parametrize("batched", [False, True], ids=["loop", "vmap"])
def test_dropout_is_the_same_in_all_evaluations_of_a_step(batched: bool):
    model = net()
    noisy = nn.Sequential(model[0], nn.Dropout(0.5), model[2])
    given = [[torch.randn_like(p) for p in noisy.parameters()] for _ in range(3)]
    seen: list[Tensor] = []
    optimizer = SAdam(
        noisy.parameters(), lr=0.0, k_directions=3, sigma=1e-9, module=noisy if batched else None
    )
    closure = closure_of(noisy, optimizer)

    def watched(backward: bool) -> Tensor:
        loss = closure(backward)
        seen.append(loss.detach())
        return loss

    torch.manual_seed(11)
    first = optimizer.step(watched, directions=given)
    after = torch.rand(4)
    # With sigma 1e-9 every probe loss is the loss itself, unless a mask was drawn anew.
    if not batched:
        assert torch.stack(seen).tolist() == pytest.approx(4 * [first.item()], abs=1e-7)
    assert optimizer.lgi_history[0] < 2  # k / (k - 1) at most, and finite
    torch.manual_seed(11)
    closure(True)
    assert torch.equal(torch.rand(4), after)  # as if the closure had run once
    second = optimizer.step(watched, directions=given)
    assert second != first  # another step draws another mask


@pytest.mark.usefixtures("_at_once")
def test_dropout_under_vmap_measures_what_the_loop_measures():
    found = []
    for batched in (False, True):
        model = net()
        noisy = nn.Sequential(model[0], nn.Dropout(0.5), model[2])
        found.append(run(noisy, batched=batched).lgi_history)
    assert found[1] == pytest.approx(found[0], rel=1e-9)


@pytest.mark.usefixtures("_at_once")
@pytest.mark.parametrize("k", [1, 4], ids=["loop", "vmap"])
def test_batch_norm_statistics_see_the_data_once_a_step(k: int):
    probed, plain = normalized(), normalized()
    optimizer = SAdam(probed.parameters(), lr=0.0, k_directions=k, module=probed)
    for _ in range(3):
        optimizer.step(closure_of(probed, optimizer))
        plain(X)
    assert probed[1].num_batches_tracked == 3
    assert same_bits(values(probed), values(plain))


@pytest.mark.usefixtures("_at_once")
def test_batch_norm_under_vmap_measures_what_the_loop_measures():
    a = run(normalized(), batched=False)
    b = run(normalized(), batched=True)
    assert b.lgi_history == pytest.approx(a.lgi_history, rel=1e-9)


def test_where_vmap_refuses_the_loop_takes_over_and_says_so_once():
    def unfriendly(closure):
        def wrapped(backward: bool):
            loss = closure(backward)
            return loss if backward else loss.item()

        return wrapped

    loop, batched = net(), net()
    a = run(loop, batched=False, wrap=unfriendly)
    with pytest.warns(UserWarning, match="one by one") as caught:
        b = run(batched, batched=True, wrap=unfriendly)
    assert len(caught) == 1
    text = str(caught[0].message)
    assert text.startswith("SAdam probes this closure one by one, because torch.func.vmap refused")
    assert "leave module out to silence this" in text
    assert same_bits(values(loop), values(batched))
    assert a.lgi_history == b.lgi_history


def test_a_closure_that_reaches_past_the_module_is_noticed():
    def penalized(parameters):
        def wrap(closure):
            def wrapped(backward: bool) -> Tensor:
                penalty = 10 * sum(p.abs().sum() for p in parameters)
                loss = closure(backward) + penalty
                if backward:
                    penalty.backward()
                return loss

            return wrapped

        return wrap

    loop, batched = net(), net()
    a = run(loop, batched=False, wrap=penalized(list(loop.parameters())))
    with pytest.warns(UserWarning, match="its losses differ from a plain loop's"):
        b = run(batched, batched=True, wrap=penalized(list(batched.parameters())))
    assert a.lgi_history == b.lgi_history
    assert same_bits(values(loop), values(batched))


def test_what_takes_less_time_is_kept(monkeypatch: pytest.MonkeyPatch):
    clock = [0.0]
    monkeypatch.setattr(probing.time, "perf_counter", lambda: clock[0])

    def takes(seconds: float):
        def run() -> Tensor:
            clock[0] += seconds
            return torch.zeros(2)

        return run

    assert probing.faster(takes(1.0), takes(2.0))
    assert clock[0] == 3.0  # half a second had passed after one round
    assert not probing.faster(takes(0.02), takes(0.01))
    assert clock[0] == pytest.approx(3.0 + 5 * 0.03)


def test_the_loop_is_kept_without_a_word_where_it_is_faster(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(probing, "faster", lambda *_: False)
    loop, batched = net(), net()
    a, b = run(loop, batched=False), run(batched, batched=True)
    assert b._probe.at_once is False
    assert same_bits(values(loop), values(batched))
    assert a.lgi_history == b.lgi_history


@pytest.mark.usefixtures("_at_once")
def test_tied_weights_are_probed_together():
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(5, 5, dtype=torch.float64)
            self.b = nn.Linear(5, 5, dtype=torch.float64)
            self.b.weight = self.a.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.b(torch.tanh(self.a(x)))

    found = []
    for batched in (False, True):
        torch.manual_seed(0)
        found.append(run(Tied(), batched=batched).lgi_history)
    assert found[1] == pytest.approx(found[0], rel=1e-9)
