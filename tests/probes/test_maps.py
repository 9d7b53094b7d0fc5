import numpy as np
import pytest
import torch

from probes import Objective, instability, instability_map, instability_maps, random_plane
from probes.directions import draw_directions, normalize_directions
from probes.instability import MEASURES, QUICK, lgi
from probes.plane import Plane

LOSS = torch.nn.functional.cross_entropy


@pytest.fixture
def slope():
    """f(x) = w.x over 200 parameters, and a plane of it."""
    w = torch.randn(200, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    objective = Objective.from_function(lambda x: x @ w, torch.zeros(200, dtype=torch.float64))
    return objective, random_plane(objective, objective.theta, normalize="none", seed=1)


def test_a_map_equals_the_measures_at_each_point(objective):
    plane = random_plane(objective, objective.theta, seed=2)
    settings = {"k": 3, "sigma": 0.1, "seed": 5}
    *_, made = instability_maps(objective, plane, 4, measures=MEASURES, block=3, **settings)
    a, b = plane.grid(4)
    assert tuple(made.values) == MEASURES
    assert (made.a.tolist(), made.b.tolist(), made.done) == (a.tolist(), b.tolist(), 1.0)
    assert (made.k, made.sigma) == (3, 0.1)
    for i in range(4):
        for j in range(4):
            point = plane.origin + a[j] * plane.axes[0] + b[i] * plane.axes[1]
            there = instability(objective, point, **settings)
            for name in MEASURES:
                expected = pytest.approx(getattr(there, name), rel=1e-7, abs=1e-12)
                assert made.values[name][i, j] == expected
    for name in MEASURES:
        alone = instability_map(objective, plane, 4, measure=name, **settings)
        np.testing.assert_allclose(alone, made.values[name], rtol=1e-7, atol=1e-12)


def test_unless_asked_a_map_holds_lgi_variance_and_asymmetry(objective):
    plane = random_plane(objective, objective.theta, seed=2)
    *_, made = instability_maps(objective, plane, 2, k=2, sigma=0.1, seed=0)
    assert tuple(made.values) == QUICK == ("lgi", "variance", "asymmetry")


def test_a_map_shows_progress_in_copies_and_can_be_closed(objective):
    plane = random_plane(objective, objective.theta, seed=2)
    calls = []
    original = objective.losses
    objective.losses = lambda points: (calls.append(len(points)), original(points))[1]
    maps = instability_maps(objective, plane, 3, k=2, sigma=0.1, seed=0, block=4)
    first = next(maps)
    next(maps)
    maps.close()
    assert first.done == 4 / 9
    assert np.isnan(first.values["lgi"]).sum() == 5
    assert first.unresolved("lgi") == 0.0
    assert calls == [20, 20]
    assert list(maps) == []


def test_a_map_of_lgi_pays_for_no_backward_probe(objective):
    plane = random_plane(objective, objective.theta, seed=2)
    calls = []
    original = objective.losses
    objective.losses = lambda points: (calls.append(len(points)), original(points))[1]
    list(instability_maps(objective, plane, 3, k=2, sigma=0.1, seed=0, measures=("lgi",)))
    assert calls == [9 * 3]


def test_the_share_without_a_value():
    # Two cells of nine on the kink |x| of a linear function: the others are not resolved.
    objective = Objective.from_function(
        lambda x: x[:, 0].clamp(min=0.0) + x[:, 1], torch.zeros(2, dtype=torch.float64)
    )
    plane = Plane(objective.theta, torch.eye(2, dtype=torch.float64), (-1.0, 1.0, -1.0, 1.0))
    maps = list(
        instability_maps(
            objective, plane, 3, k=4, sigma=0.01, seed=0, measures=("holder", "lgi"), block=2
        )
    )
    holder = maps[-1].values["holder"]
    assert holder[:, 1] == pytest.approx(np.ones(3))
    assert np.isnan(holder[:, [0, 2]]).all()
    assert maps[-1].unresolved("holder") == pytest.approx(6 / 9)
    assert maps[-1].unresolved("lgi") == 0.0
    assert maps[0].unresolved("holder") == 0.5


def test_a_float32_map_of_a_gelu_net_resolves_no_roughness(mlp, batch):
    objective = Objective.from_module(mlp, LOSS, batch, dtype=torch.float32)
    plane = random_plane(objective, objective.theta, seed=2)
    *_, made = instability_maps(
        objective, plane, 3, k=4, sigma=0.03, seed=0, measures=("holder", "roughness")
    )
    assert made.unresolved("roughness") == 1.0
    assert made.unresolved("holder") == 0.0
    assert made.values["holder"] == pytest.approx(np.full((3, 3), 2.0), abs=0.1)


def test_shared_directions_give_a_slope_one_level_and_fresh_ones_the_mean_p_200_k_2(slope):
    objective, plane = slope
    shared = instability_map(objective, plane, 20, k=2, seed=3)
    fresh = instability_map(objective, plane, 20, k=2, seed=3, fresh=True)
    # On a slope LGI is arcsine-distributed over [0, 2]: mean 1, standard deviation 1/sqrt(2).
    assert shared.std() < 1e-3
    assert fresh.std() == pytest.approx(0.5**0.5, abs=0.08)
    assert abs(fresh.mean() - 1.0) < 4.0 * fresh.std() / 20.0
    assert abs(shared.mean() - 1.0) > 0.2


def test_fresh_directions_depend_on_seed_and_cell_alone(objective):
    plane = random_plane(objective, objective.theta, seed=2)
    settings = {"k": 3, "sigma": 0.1, "seed": 5, "fresh": True}
    *_, made = instability_maps(objective, plane, 3, block=2, **settings)
    *_, again = instability_maps(objective, plane, 3, block=7, **settings)
    np.testing.assert_allclose(made.values["lgi"], again.values["lgi"], rtol=1e-9)
    a, b = plane.grid(3)
    for cell in (0, 5):
        i, j = divmod(cell, 3)
        point = plane.origin + a[j] * plane.axes[0] + b[i] * plane.axes[1]
        raw = draw_directions(3, objective.layout, seed=5, step=cell, dtype=torch.float64)
        u = normalize_directions(raw, objective.layout)
        forward = (objective.losses(point + 0.1 * u) - objective.loss(point)) / 0.1
        assert made.values["lgi"][i, j] == pytest.approx(lgi(forward).item(), rel=1e-9)


@pytest.mark.parametrize("fresh", [False, True])
def test_a_small_memory_budget_changes_nothing(mlp, batch, fresh):
    large, small = (
        Objective.from_module(mlp, LOSS, batch, memory_mb=budget) for budget in (None, 0.005)
    )
    plane = random_plane(large, large.theta, seed=2)
    settings = {"k": 4, "sigma": 0.2, "seed": 5, "measures": MEASURES, "fresh": fresh}
    *_, a = instability_maps(large, plane, 3, **settings)
    *_, b = instability_maps(small, plane, 3, **settings)
    assert small.points_in_budget == 8
    for name in MEASURES:
        np.testing.assert_allclose(a.values[name], b.values[name], rtol=1e-6)
        assert np.isfinite(a.values[name]).all()


def test_bad_values(objective, bowl):
    plane = random_plane(objective, objective.theta, seed=0)
    probes = {"k": 2, "sigma": 0.1, "seed": 0}
    cases = [
        (
            lambda: instability_map(objective, plane, 3, measure="hue"),
            ValueError,
            "measure is 'hue'",
        ),
        (lambda: instability_map(bowl, plane, 3), ValueError, "The plane has 75 parameters"),
        (lambda: instability_map(objective, plane, 10_000), MemoryError, "10000 needs 1.6 GB"),
        (
            lambda: instability_maps(objective, plane, 10_000, **probes),
            MemoryError,
            "10000 needs 4.8 GB",
        ),
        (
            lambda: instability_maps(objective, plane, 3, block=0, **probes),
            ValueError,
            "block is 0, expected at least 1",
        ),
        (
            lambda: instability_maps(objective, plane, 3, k=0, sigma=0.1, seed=0),
            ValueError,
            "k is 0, expected at least 1",
        ),
        (
            lambda: instability_maps(objective, plane, 3, radii=(0.0,), **probes),
            ValueError,
            r"radii are \(0\.0,\), expected",
        ),
    ]
    for call, kind, text in cases:
        with pytest.raises(kind, match=text):
            call()
