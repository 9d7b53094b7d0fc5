"""The ensemble: equal to single runs, lanes on equal terms, and one diverging run alone."""

import math

import pytest
import torch
from torch import Tensor, nn

from probes.directions import draw_directions
from probes.objective import Objective
from sadam import LANES, Batches, Ensemble, History, Lane, SAdam, Settings
from sadam.reference import reference_sadam
from sadam.update import sadam_update_
from tests.sadam.test_optimizer import NoWaiting
from tests.sadam.test_snapshots import saved

SEEDS = (0, 3)
THREE = [LANES["adamw"], LANES["sadam"], LANES["smaller"]]
SETTINGS = Settings(k_directions=3)


def pool(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    X = torch.randn(60, 6, generator=generator, dtype=torch.float64).to(dtype)
    return X, torch.randint(4, (60,), generator=generator)


def network(dtype: torch.dtype = torch.float64) -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 4)).to(dtype)


def ensemble(
    lanes: list[Lane] = THREE,
    seeds: tuple[int, ...] = SEEDS,
    *,
    size: int = 16,
    settings: Settings = SETTINGS,
    dtype: torch.dtype = torch.float64,
    memory_mb: float | None = None,
    **kwargs,
) -> Ensemble:
    X, y = pool(dtype)
    objective = Objective.from_module(
        network(dtype), nn.functional.cross_entropy, (X, y), memory_mb=memory_mb
    )
    return Ensemble(
        objective,
        lanes,
        seeds=seeds,
        initial=torch.stack([start(seed, objective.size) for seed in seeds]).to(dtype),
        batches=Batches(X, y, size, seeds),
        settings=settings,
        **kwargs,
    )


def start(seed: int, size: int) -> Tensor:
    generator = torch.Generator().manual_seed(100 + seed)
    return torch.randn(size, generator=generator, dtype=torch.float64) / 2


def single_run(runs: Ensemble, s: int, steps: int) -> tuple[Tensor, list[float]]:
    """S-Adam of one seed by the reference loop: theta at each step (T + 1, P), and dampings."""
    objective, batches = runs.objective, runs.batches
    theta = [start(runs.seeds[s], objective.size)[e.start : e.stop] for e in objective.layout]

    def loss(values: list[Tensor], t: int) -> Tensor:
        X, y = batches.at(t - 1)
        batch = (X, y) if batches.full else (X[s], y[s])
        return objective.loss(torch.cat([v.reshape(-1) for v in values]), batch)

    def draws():
        for t in range(steps):
            raw = draw_directions(
                3, objective.layout, seed=runs.seeds[s], step=t, dtype=torch.float64
            )
            yield [[d[e.start : e.stop] for e in objective.layout] for d in raw]

    theta = [p.clone() for p in theta]
    path, dampings = [torch.cat(theta)], []
    for step in reference_sadam(loss, theta, draws(), lr=1e-2):
        path.append(torch.cat(theta))
        dampings.append(step.damping)
    return torch.stack(path), dampings


def damped_run(runs: Ensemble, s: int, dampings: list[float]) -> Tensor:
    """AdamW of one seed with given dampings, alone: theta after every step."""
    objective, batches = runs.objective, runs.batches
    theta = start(runs.seeds[s], objective.size)
    m, v = torch.zeros_like(theta), torch.zeros_like(theta)
    for t, damping in enumerate(dampings):
        X, y = batches.at(t)
        own = objective.with_batch((X, y) if batches.full else (X[s], y[s]))
        gradient = own.gradients(theta[None])[0]
        c = runs.settings
        sadam_update_(
            theta,
            gradient,
            m,
            v,
            t + 1,
            damping=damping,
            lr=c.lr,
            betas=c.betas,
            eps=c.eps,
            weight_decay=c.weight_decay,
        )
    return theta


@pytest.mark.parametrize("size", [16, 60], ids=["mini-batches", "full batch"])
def test_equals_single_runs_over_50_steps(size: int):
    runs = ensemble(size=size)
    paths = [runs.theta.view(3, 2, -1)]
    for _ in range(50):
        runs.step()
        paths.append(runs.theta.view(3, 2, -1))
    ours = torch.stack(paths)
    for s in range(2):
        path, dampings = single_run(runs, s, 50)
        means = [sum(dampings[: t + 1][-32:]) / len(dampings[: t + 1][-32:]) for t in range(50)]
        assert (ours[:, 1, s] - path).abs().max() <= 1e-10
        assert (ours[-1, 0, s] - damped_run(runs, s, [1.0] * 50)).abs().max() <= 1e-10
        assert (ours[-1, 2, s] - damped_run(runs, s, means)).abs().max() <= 1e-10
    ends = ours[-1].flatten(0, 1)
    assert torch.cdist(ends, ends).fill_diagonal_(1).min() > 1e-2  # six different runs


def test_equals_the_optimizer_in_ones_own_loop():
    runs = ensemble([LANES["sadam"]], (3,), size=16)
    model = network()
    theta = start(3, runs.objective.size)
    nn.utils.vector_to_parameters(theta, model.parameters())
    optimizer = SAdam(model.parameters(), lr=1e-2, k_directions=3)
    for t in range(50):
        X, y = runs.batches.at(t)

        def closure(backward: bool, X=X, y=y) -> Tensor:
            loss = nn.functional.cross_entropy(model(X[0]), y[0])
            if backward:
                optimizer.zero_grad()
                loss.backward()
            return loss

        layout = runs.objective.layout
        raw = draw_directions(3, layout, seed=3, step=t, dtype=torch.float64)
        given = [[d[e.start : e.stop].view(e.shape) for e in layout] for d in raw]
        optimizer.step(closure, directions=given)
        runs.step()
    alone = nn.utils.parameters_to_vector(model.parameters())
    assert (runs.theta[0] - alone).abs().max() <= 1e-10


def test_one_steps_gradients_in_float32():
    runs = ensemble(dtype=torch.float32, projections=10_000)  # the coordinates themselves
    found = runs.record.gradient_projection.view(3, 2, -1)
    X, y = runs.batches.at(0)
    for s in range(2):
        model = network(torch.float32)
        nn.utils.vector_to_parameters(start(SEEDS[s], found.shape[2]).float(), model.parameters())
        nn.functional.cross_entropy(model(X[s]), y[s]).backward()
        alone = nn.utils.parameters_to_vector([p.grad for p in model.parameters()])
        for lane in range(3):
            assert (found[lane, s] - alone).norm() <= 1e-5 * alone.norm()


def test_a_seed_does_not_depend_on_its_company():
    many, alone = ensemble(), ensemble(seeds=(3,))
    for _ in range(10):
        many.step()
        alone.step()
    assert (many.theta.view(3, 2, -1)[:, 1] - alone.theta).abs().max() <= 1e-12


def test_lanes_of_a_seed_share_weights_batches_and_directions():
    twins = [*THREE, Lane("twin", "S-Adam again", damping="probed")]
    runs = ensemble(twins)
    weights = runs.theta.view(4, 2, -1)
    assert all(torch.equal(weights[0], lane) for lane in weights)
    assert len({tuple(w.tolist()) for w in weights[0]}) == 2
    # At one theta everything recorded of the batch and the directions is equal between lanes.
    loss, norm = (getattr(runs.record, n).view(4, 2) for n in ("loss", "gradient_norm"))
    assert (loss - loss[0]).abs().max() <= 1e-15
    assert (norm - norm[0]).abs().max() <= 1e-15
    assert loss[0, 0] != loss[0, 1]
    for _ in range(20):
        lgi = runs.record.lgi.view(4, 2)
        assert torch.allclose(lgi[1], lgi[3], rtol=1e-9, atol=0)
        assert lgi[1, 0] != lgi[1, 1]
        runs.step()
    theta = runs.theta.view(4, 2, -1)
    assert (theta[1] - theta[3]).abs().max() <= 1e-12


def test_the_batches_and_directions_used_are_those_of_seed_and_step():
    runs = ensemble()
    for t in range(5):
        fresh = Batches(*pool(), 16, SEEDS).at(t)
        assert all(torch.equal(a, b) for a, b in zip(runs.batch, fresh, strict=True))
        layout = runs.objective.layout
        for s, seed in enumerate(SEEDS):
            raw = draw_directions(3, layout, seed=seed, step=t, dtype=torch.float64)
            for e in layout:
                piece = raw[:, e.start : e.stop]
                unit = piece / piece.norm(dim=1, keepdim=True)
                assert (runs.directions[s, :, e.start : e.stop] - unit).abs().max() <= 1e-11
        # What was recorded is what these give at theta_t.
        for r in range(6):
            own = (fresh[0][r % 2], fresh[1][r % 2])
            assert runs.objective.loss(runs.theta[r], own).item() == pytest.approx(
                runs.record.loss[r].item(), abs=1e-14
            )
        here = runs.theta[2:4, None] + 0.01 * runs.directions
        for s in range(2):
            own = runs.objective.with_batch((fresh[0][s], fresh[1][s]))
            D = (own.losses(here[s]) - own.losses(runs.theta[2 + s][None])) / 0.01
            rho = D.var() / (D.square().mean() + 1e-6)
            assert runs.record.lgi[2 + s].item() == pytest.approx(rho.item(), rel=1e-8)
        runs.step()


def test_matched_damping_is_the_mean_of_the_last_32():
    runs, history = ensemble(), History()
    for _ in range(80):
        history.append(runs.record)
        runs.step()
    damping = history.column("damping").reshape(80, 3, 2)
    assert (damping[:, 0] == 1).all()
    for t in range(80):
        expected = damping[max(0, t - 31) : t + 1, 1].mean(axis=0)
        assert abs(damping[t, 2] - expected).max() <= 1e-12
    assert damping[:, 1].std() > 0.1


def test_only_probing_lanes_measure():
    runs = ensemble()
    lgi = runs.record.lgi.view(3, 2)
    assert lgi[[0, 2]].isnan().all()
    assert lgi[1].isfinite().all()
    expected = torch.exp(-2 * lgi[1])
    assert torch.allclose(runs.record.damping.view(3, 2)[1], expected, rtol=1e-14, atol=0)


def test_the_plan_is_what_the_step_commits():
    runs = ensemble()
    for _ in range(4):
        theta, planned, record = runs.theta, runs.next_theta, runs.record
        update = planned - theta
        kept = planned.clone()
        assert record.step == runs.t
        assert torch.allclose(record.update_norm, update.norm(dim=1), rtol=1e-14)
        assert torch.equal(record.effective_lr, 1e-2 * record.damping)
        following = runs.step()
        assert torch.equal(runs.theta, kept)
        assert torch.equal(planned, kept)  # what was handed out is not written again
        assert following is runs.record
        cosine = torch.cosine_similarity(runs.next_theta - runs.theta, update, dim=1)
        assert torch.allclose(following.update_cosine, cosine, rtol=1e-9)
    assert ensemble().record.update_cosine.isnan().all()


def test_what_the_tangent_promises():
    runs = ensemble(size=60, settings=Settings(lr=1e-6))
    record = runs.record
    assert (record.promised < 0).all()
    following = runs.step()
    real = following.loss - record.loss
    assert torch.allclose(real, record.promised, rtol=1e-3)


def test_projections_are_fixed_and_the_same_for_all_runs():
    runs, other = ensemble(), ensemble()
    assert runs.record.update_projection.shape == (6, 8)
    assert torch.equal(runs.record.update_projection, other.record.update_projection)
    whole = ensemble(projections=10_000).record
    assert torch.allclose(whole.gradient_projection.norm(dim=1), whole.gradient_norm)
    # About unit length, so a projection is of the size of one coordinate's share.
    ratio = runs.record.gradient_projection.norm(dim=1) / whole.gradient_norm
    assert ((ratio > 0.05) & (ratio < 1)).all()


def test_probe_loss_is_the_loss_on_the_fixed_set():
    small, full = ensemble(size=16), ensemble(size=60)
    expected = small.objective.losses(small.theta)
    assert (small.record.probe_loss - expected).abs().max() <= 1e-14
    assert not torch.allclose(small.record.loss, expected)
    assert full.record.probe_loss is full.record.loss
    assert (full.record.loss - expected).abs().max() <= 1e-14


def test_new_settings_act_from_the_next_plan_on():
    runs, unchanged = ensemble(), ensemble()
    for each in (runs, unchanged):
        each.step()
    runs.settings = Settings(k_directions=5, lr=0.5, lgi_lambda=0.0)
    runs.step()
    unchanged.step()
    assert torch.equal(runs.theta, unchanged.theta)  # this update was planned before
    assert runs.directions is None
    assert runs.record.lgi.isnan().all()
    assert runs.record.damping.view(3, 2)[1].tolist() == [1.0, 1.0]
    assert (runs.record.update_norm > 10 * unchanged.record.update_norm).all()
    runs.settings = Settings(k_directions=5)
    runs.step()
    assert runs.directions.shape == (2, 5, runs.objective.size)


def test_a_tight_memory_budget_changes_nothing_but_the_chunks():
    wide, narrow = ensemble(), ensemble(memory_mb=0.001)
    calls = []
    evaluate = narrow._stacked._values
    narrow._stacked._values = lambda *a: calls.append(tuple(a[0].shape[:2])) or evaluate(*a)
    for _ in range(5):
        wide.step()
        narrow.step()
    assert set(calls) == {(1, 1)}
    # Six gradients, 2 x 3 probes and six answers to the last promise a step, one by one.
    assert len(calls) == 5 * (6 + 2 * 3 + 6)
    assert (wide.theta - narrow.theta).abs().max() <= 1e-12


@pytest.mark.parametrize("size", [16, 60])
def test_runs_one_after_the_other_train_as_a_stack(size: int, monkeypatch: pytest.MonkeyPatch):
    stacked = ensemble(size=size)
    for _ in range(5):
        stacked.step()
    monkeypatch.setattr("probes.objective.CACHE_BYTES", 1)  # whatever a run keeps is too large
    monkeypatch.delattr("sadam.stacked.vmap")
    looped = ensemble(size=size)
    for _ in range(5):
        looped.step()
    assert (stacked.theta - looped.theta).abs().max() <= 1e-12


def function(f, initial: list[list[float]], lanes=THREE, **settings) -> Ensemble:
    theta = torch.tensor(initial, dtype=torch.float64)
    return Ensemble(
        Objective.from_function(f, theta[0]),
        lanes,
        seeds=range(len(initial)),
        initial=theta,
        batches=None,
        settings=Settings(**{"lr": 0.1, "weight_decay": 0.0} | settings),
    )


def test_functions_train_like_the_reference():
    def f(points: Tensor) -> Tensor:
        return points.abs().sum(-1)

    runs = function(f, [[1.5, -0.7]])
    theta = [torch.tensor([1.5, -0.7], dtype=torch.float64)]
    draws = [
        [list(d.double()[None]) for d in draw_directions(2, 2, seed=0, step=t)] for t in range(20)
    ]
    for _ in reference_sadam(lambda p, _: f(p[0]), theta, draws, lr=0.1, weight_decay=0.0):
        runs.step()
    assert (runs.theta[1] - theta[0]).abs().max() <= 1e-12
    assert torch.equal(runs.record.gradient_projection, runs.theta.sign())  # P <= J: coordinates


CLIFFS = {
    "loss nan": lambda p: torch.where(p[:, 0] < 1, torch.nan, p.square().sum(1)),
    "loss inf": lambda p: torch.where(p[:, 0] < 1, torch.inf, p.square().sum(1)),
    "gradient nan": lambda p: p.square().sum(1) + ((p[:, 0] - 1) * (p[:, 0] > 1)).sqrt(),
}


@pytest.mark.parametrize("name", CLIFFS)
def test_a_diverging_run_is_frozen_and_the_others_go_on(name: str):
    # Seed 0 walks over the edge at x = 1 (AdamW in its sixth step), seed 1 starts far from it.
    f = CLIFFS[name]
    lanes = [LANES["adamw"], LANES["sadam"]]
    runs = function(f, [[1.55, 2.0], [30.0, 2.0]], lanes)
    paths, records = [runs.theta], [runs.record]
    for _ in range(12):
        records.append(runs.step())
        paths.append(runs.theta)
    assert runs.diverged_at.tolist()[0] == 6
    assert runs.diverged_at.tolist()[1] == -1
    assert runs.alive.tolist()[:2] == [False, True]
    frozen = paths[5][0]
    assert all(torch.equal(theta[0], frozen) for theta in paths[6:])
    assert runs.theta.isfinite().all()
    assert torch.equal(runs.next_theta[0], frozen)
    for record in records[6:]:
        assert record.loss[0] == records[5].loss[0]
        assert record.probe_loss[0] == records[5].probe_loss[0]
        assert record.gradient_norm[0] == records[5].gradient_norm[0]
        assert record.update_norm[0] == record.promised[0] == 0
        assert math.isnan(record.damping[0])
        assert math.isnan(record.effective_lr[0])
        assert record.gradient_projection.isfinite().all()

    quiet = function(lambda p: p.square().sum(1), [[1.55, 2.0], [30.0, 2.0]], lanes)
    if name != "gradient nan":  # there seed 1 runs on another function
        for t in range(12):
            assert torch.equal(quiet.theta.view(2, 2, 2)[:, 1], paths[t].view(2, 2, 2)[:, 1])
            quiet.step()


def test_a_probe_that_is_not_finite_freezes_only_the_probing_lane():
    # Seed 0's gradient is fine; its probes reach over the edge.
    def f(points: Tensor) -> Tensor:
        return torch.where(points[:, 0] < 1, torch.nan, points.square().sum(1))

    runs = function(f, [[1.05, 1.0]], lr=1e-4, sigma=1.0, k_directions=8)
    assert runs.alive.tolist() == [True, False, True]
    assert runs.diverged_at.tolist() == [-1, 0, -1]
    assert runs.record.loss.isfinite().all()
    # Who follows a lane that never had a damping is not damped.
    assert runs.record.damping[2] == 1
    runs.step()
    assert runs.theta[0, 0] < runs.theta[1, 0] == 1.05


def test_who_follows_a_frozen_lane_keeps_its_last_mean():
    runs = function(lambda p: p.square().sum(1), [[3.0, 1.0]], k_directions=3)
    dampings = [runs.record.damping[1]]
    dampings += [runs.step().damping[1] for _ in range(4)]
    runs.settings = Settings(k_directions=3, sigma=1e200)  # the square of it overflows
    for _ in range(3):
        runs.step()
        assert runs.diverged_at.tolist() == [-1, 5, -1]
        expected = torch.stack(dampings).mean().item()
        assert runs.record.damping[2].item() == pytest.approx(expected, rel=1e-12)
    assert len(set(dampings)) == 5


def test_a_planned_step_that_overflows_is_not_taken():
    runs = function(lambda p: p.square().sum(1), [[3.0, 1.0]])
    runs.settings = Settings(lr=1e308, weight_decay=1e308)
    runs.step()
    here = runs.theta
    assert runs.alive.tolist() == [False, False, False]
    assert runs.diverged_at.tolist() == [1, 1, 1]
    assert runs.record.loss.isfinite().all()
    assert torch.equal(runs.record.loss, here.square().sum(1))
    assert not torch.equal(here[0], torch.tensor([3.0, 1.0]).double())
    runs.step()
    assert torch.equal(runs.theta, here)


def test_a_start_that_is_not_finite_in_loss_is_frozen_at_once():
    runs = function(
        lambda p: torch.where(p[:, 0] < 1, torch.nan, p.sum(1)), [[0.0, 1.0], [9.0, 1.0]]
    )
    assert runs.diverged_at.view(3, 2)[:, 0].tolist() == [0, 0, 0]
    runs.step()
    assert torch.equal(runs.theta.view(3, 2, 2)[0, 0], torch.tensor([0.0, 1.0]).double())
    assert runs.alive.view(3, 2)[:, 1].all()


def same(a: object, b: object) -> bool:
    """Equal to the bit; nan equals nan."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        fits = (a.dtype, a.shape) == (b.dtype, b.shape)
        return fits and bool(((a == b) | (a.isnan() & b.isnan())).all())
    return a == b


def assert_equal(first: Ensemble, second: Ensemble) -> None:
    ours, theirs = first.state(), second.state()
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not same(ours[name], theirs[name])] == []
    if first.batch is not None:
        assert all(same(a, b) for a, b in zip(first.batch, second.batch, strict=True))


@pytest.mark.parametrize("how", ["torch", "numpy"])
@pytest.mark.parametrize("size", [16, 60], ids=["mini-batches", "full batch"])
@pytest.mark.parametrize("steps", [0, 1, 40])
def test_a_restored_ensemble_goes_on_to_the_bit(how: str, size: int, steps: int):
    first = ensemble(size=size, dtype=torch.float32)
    for _ in range(steps):
        first.step()
    second = ensemble(size=size, dtype=torch.float32)
    second.restore(saved(first.state(), how))
    for _ in range(5):
        assert_equal(first, second)
        for each in (first, second):
            each.step()
    assert second.record.got.isfinite().all()
    assert second.record.update_cosine.isfinite().all()


def test_a_state_does_not_follow_the_run_it_was_taken_from():
    runs = ensemble()
    runs.step()
    state = runs.state()
    kept = {n: v.clone() if isinstance(v, Tensor) else v for n, v in state.items()}
    runs.step()
    assert all(same(kept[name], state[name]) for name in kept)
    second = ensemble()
    second.restore(state)
    state["theta"].zero_()
    assert same(second.theta, kept["theta"])


def test_frozen_runs_and_assigned_settings_are_part_of_the_state():
    f = CLIFFS["loss nan"]
    lanes = [LANES["adamw"], LANES["sadam"]]
    first = function(f, [[1.55, 2.0], [30.0, 2.0]], lanes)
    for _ in range(9):
        first.step()
    first.settings = Settings(lr=0.2, k_directions=5, sphere="global", betas=(0.8, 0.99))
    second = function(f, [[1.55, 2.0], [30.0, 2.0]], lanes)
    second.restore(first.state())
    assert second.alive.tolist()[:2] == [False, True]
    assert second.diverged_at.tolist()[0] == 6
    assert second.settings == first.settings
    for _ in range(5):
        assert_equal(first, second)
        for each in (first, second):
            each.step()
    assert second.record.got.isnan().tolist() == first.alive.logical_not().tolist()


def test_a_state_of_other_runs_is_refused_and_changes_nothing():
    first, second = ensemble(), ensemble()
    for _ in range(3):
        first.step()
    state, before = first.state(), second.state()
    for other, text in [
        (ensemble(THREE[:2]), r"state is one of lanes adamw .* and this is one of lanes adamw"),
        (
            ensemble(seeds=(0, 4)),
            "state is one of seeds 0, 3 and this is one of seeds 0, 4; restore",
        ),
        (ensemble(size=8), "state is one of batch 16 and this is one of batch 8; restore it into"),
        (ensemble(dtype=torch.float32), r"theta has shape .* torch.float64; expected .*float32"),
    ]:
        with pytest.raises(ValueError, match=text):
            other.restore(state)
    shorter = state | {"theta": state["theta"][:, 1:]}
    for broken, text in [
        (shorter, r"the state's theta has shape \(6, 102\) .* expected shape \(6, 103\)"),
        (state | {"t": -1}, "the state's t is -1; expected a whole number of at least 0: make"),
        (state | {"settings.lr": -1.0}, "lr is -1.0; give a finite number"),
        (state | {"m": None}, "the state's m is a NoneType; expected a tensor"),
        (
            {n: v for n, v in state.items() if n != "record.got"},
            "state holds no 'record.got'; give",
        ),
        ({n: v for n, v in state.items() if n != "settings.eps"}, "holds no 'settings.eps'; give"),
        ({}, "the state holds no 'lanes'; give what"),
    ]:
        with pytest.raises(ValueError, match=text):
            second.restore(broken)
    after = second.state()
    assert all(same(before[name], after[name]) for name in before)


@pytest.mark.parametrize("size", [16, 60], ids=["mini-batches", "full batch"])
def test_unobserved_runs_train_the_same(size: int):
    seen, unseen = ensemble(size=size), ensemble(size=size, observe=False)
    for _ in range(6):
        assert torch.equal(seen.next_theta, unseen.next_theta)
        ours, theirs = unseen.record, seen.record
        for name in ("loss", "gradient_norm", "lgi", "damping", "effective_lr", "forwards"):
            assert same(getattr(ours, name), getattr(theirs, name))
        for name in ("promised", "update_norm", "update_cosine", "got", "update_projection"):
            assert getattr(ours, name).isnan().all()
            assert getattr(ours, name).shape == getattr(theirs, name).shape
        assert ours.probe_loss.isnan().all() == (size == 16)
        seen.step()
        unseen.step()


def test_an_unobserved_run_freezes_alike():
    def f(points: Tensor) -> Tensor:
        return torch.where(points[:, 0] < 1, torch.nan, points.square().sum(1))

    theta = torch.tensor([[1.55, 2.0], [30.0, 2.0]], dtype=torch.float64)
    runs = Ensemble(
        Objective.from_function(f, theta[0]),
        [LANES["adamw"]],
        seeds=(0, 1),
        initial=theta,
        batches=None,
        settings=Settings(lr=0.1, weight_decay=0.0),
        observe=False,
    )
    for _ in range(9):
        runs.step()
    assert runs.diverged_at.tolist() == [6, -1]
    assert runs.theta.isfinite().all()


def test_a_finite_gradient_is_no_reason_to_freeze_however_long_it_is():
    runs = function(lambda p: 1e200 * p.sum(1), [[3.0, 1.0]], [LANES["adamw"]])
    assert runs.record.gradient_norm.isinf().all()  # its square overflows
    assert runs.alive.all()


def test_a_second_moment_that_was_handed_out_stays():
    runs = ensemble()
    handed = runs.second_moment
    kept = handed.clone()
    runs.step()
    assert torch.equal(handed, kept)
    assert not torch.equal(runs.second_moment, kept)


def test_a_flat_place_is_flat_however_the_losses_are_rounded():
    # Losses and gradients have an evaluator each; say that of losses rounds all of them alike.
    probe = ensemble([LANES["sadam"], LANES["asymmetry"]], (0,), size=60, dtype=torch.float32)
    assert probe._stacked.rounds_otherwise
    losses = probe._stacked.losses
    probe._stacked.losses = lambda *a, **b: torch.full_like(losses(*a, **b), 1.000001)
    probe.step()
    assert probe.record.damping.tolist() == [1.0, 1.0]
    assert probe.record.lgi.tolist()[0] == 0.0


def test_no_step_waits_for_the_device(monkeypatch: pytest.MonkeyPatch):
    # As on an accelerator, where no mask is looked at.
    monkeypatch.setattr("sadam.observing._all", lambda _: False)
    runs, seen = ensemble(size=16), ensemble(size=16)
    with NoWaiting():
        runs.step()
    seen.step()
    assert_equal(runs, seen)


def test_refusals_are_sentences():
    X, y = pool()
    good = ensemble()
    objective, initial = good.objective, good.theta[:2]
    batches = good.batches

    def build(**changes):
        arguments = {"seeds": SEEDS, "initial": initial, "batches": batches, "settings": SETTINGS}
        return Ensemble(objective, THREE, **arguments | changes)

    P = objective.size
    with pytest.raises(ValueError, match=rf"initial has shape \(1, {P}\); give one row of {P} par"):
        build(initial=initial[:1])
    with pytest.raises(ValueError, match="initial holds a value that is not finite; start from"):
        build(initial=torch.full_like(initial, torch.nan))
    with pytest.raises(ValueError, match="the objective is a network; give the Batches that"):
        build(batches=None)
    with pytest.raises(ValueError, match=r"batches are those of seeds \[1\] and the runs have"):
        build(batches=Batches(X, y, 4, [1]))
    with pytest.raises(ValueError, match=r"batches hold torch.float32 on cpu where .* convert the"):
        build(batches=Batches(X.float(), y, 4, SEEDS))
    with pytest.raises(ValueError, match=rf"draw\(0\) gave shape \(3, {P}\); return raw draws of"):
        build(draw=lambda _: torch.zeros(3, P))
    sphere = Objective.from_function(lambda p: p.square().sum(-1), torch.ones(2).double())
    with pytest.raises(ValueError, match="is a function, which has no data; give batches=None"):
        Ensemble(
            sphere, THREE, seeds=SEEDS, initial=torch.ones(2, 2), batches=batches, settings=SETTINGS
        )


def test_a_network_that_vmap_cannot_take_is_refused():
    class Choosy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network()

        def forward(self, x: Tensor) -> Tensor:
            out = self.inner(x)
            return out if out.sum().item() > 0 else -out

    X, y = pool()
    with pytest.warns(UserWarning, match="vmap"):
        objective = Objective.from_module(Choosy(), nn.functional.cross_entropy, (X, y))
    with pytest.raises(
        ValueError, match=r"cannot be trained as a stack .* Train it with sadam.SAdam"
    ):
        Ensemble(
            objective,
            THREE,
            seeds=[0],
            initial=objective.theta[None],
            batches=Batches(X, y, 60, [0]),
            settings=SETTINGS,
        )
