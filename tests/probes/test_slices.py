import copy
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from probes import Objective, Plane, loss_slice, loss_slices, random_plane, start_end_plane

cross_entropy = nn.functional.cross_entropy


@pytest.fixture
def plane(objective):
    return random_plane(objective, objective.theta, seed=3, reach=0.7)


def noting_sizes(objective):
    """Makes an objective note how many points of a span are asked for at a time."""
    sizes = []
    original = objective.spanned

    def spanned(origin, axes):
        losses_at = original(origin, axes)
        return lambda coordinates: (sizes.append(len(coordinates)), losses_at(coordinates))[1]

    objective.spanned = spanned
    return sizes


@pytest.mark.parametrize("net", ["mlp", "rounded"])
def test_a_slice_equals_calling_the_module_at_each_point(net, request, batch):
    module = request.getfixturevalue(net)
    objective = Objective.from_module(module, cross_entropy, batch)
    plane = random_plane(objective, objective.theta, seed=3)
    made = loss_slice(objective, plane, 7)
    own = copy.deepcopy(module)
    a, b = plane.grid(7)
    assert (made.a.tolist(), made.b.tolist(), made.done) == (a.tolist(), b.tolist(), 1.0)
    for i in range(7):
        for j in range(7):
            point = plane.origin + a[j] * plane.axes[0] + b[i] * plane.axes[1]
            nn.utils.vector_to_parameters(point, own.parameters())
            true = cross_entropy(own(batch[0]), batch[1]).item()
            assert made.losses[i, j] == pytest.approx(true, rel=1e-11)


def test_on_a_plane_through_a_point_the_slice_has_its_true_loss(objective, around):
    paths = around(objective, 3)
    plane = start_end_plane(paths[0], paths[1:])
    a, b, _ = (part.tolist() for part in plane.project(paths))
    for i in range(3):
        # An extent with its middle, or its corner, on the point.
        middle = plane.with_extent(a[i] - 0.5, a[i] + 0.5, b[i] - 0.5, b[i] + 0.5)
        corner = plane.with_extent(a[i], a[i] + 1.0, b[i], b[i] + 1.0)
        true = objective.loss(paths[i]).item()
        assert loss_slice(objective, middle, 5).losses[2, 2] == pytest.approx(true, rel=1e-12)
        assert loss_slice(objective, corner, 3).losses[0, 0] == pytest.approx(true, rel=1e-12)


def test_a_slice_of_a_known_function(bowl):
    axes = torch.eye(2, dtype=torch.float64)
    plane = Plane(torch.zeros(2, dtype=torch.float64), axes, (-2.0, 2.0, 0.0, 4.0))
    made = loss_slice(bowl, plane, 5)
    expected = (np.linspace(-2, 2, 5)[None] ** 2 + np.linspace(0, 4, 5)[:, None] ** 2) / 2.0
    np.testing.assert_allclose(made.losses, expected, rtol=1e-14)


def test_coarse_to_fine_evaluates_every_point_once(plane, objective):
    seen = noting_sizes(objective)
    levels = [s for s in loss_slices(objective, plane, (3, 5, 9), block=10) if s.done == 1.0]
    assert sum(seen) == 81
    assert max(seen) == 10
    np.testing.assert_allclose(
        levels[-1].losses, loss_slice(objective, plane, 9).losses, rtol=1e-12
    )


def test_each_level_ends_complete_and_holds_the_points_of_the_last(plane, objective):
    made = list(loss_slices(objective, plane, (3, 5, 9), block=4))
    complete = [s for s in made if not np.isnan(s.losses).any()]
    assert [len(s.a) for s in complete] == [3, 5, 9]
    for coarse, fine in pairwise(complete):
        assert np.array_equal(coarse.losses, fine.losses[::2, ::2])
        assert np.array_equal(coarse.a, fine.a[::2])
        assert np.array_equal(coarse.b, fine.b[::2])
    assert [s.done for s in complete] == [9 / 81, 25 / 81, 1.0]
    assert all(x.done < y.done for x, y in pairwise(made))
    first = made[0]
    assert first.losses.shape == (3, 3)
    assert np.isnan(first.losses).sum() == 5  # kept as it was when it was yielded


def test_closing_cancels_the_rest(plane, objective):
    calls = noting_sizes(objective)
    slices = loss_slices(objective, plane, (9,), block=5)
    next(slices)
    slices.close()
    assert calls == [5]
    assert list(slices) == []


def test_blocks_shrink_to_the_memory_budget(mlp, batch, plane):
    small = Objective.from_module(mlp, cross_entropy, batch, memory_mb=0.005)
    assert small.points_in_budget == 8
    sizes = noting_sizes(small)
    loss_slice(small, plane, 5)
    assert max(sizes) == 8


def test_a_grid_too_large_for_memory_is_refused_with_its_size(plane, mlp, batch):
    objective = Objective.from_module(mlp, cross_entropy, batch, memory_mb=256)
    with pytest.raises(MemoryError) as refusal:
        loss_slices(objective, plane, (10_001,))
    assert str(refusal.value) == (
        "A grid of 10001 x 10001 needs 1.6 GB, and the memory budget is 256 MB: ask for at most"
        " 4000 points a side, or raise CHATTERSCOPE_MEMORY_MB."
    )


@pytest.mark.parametrize("resolutions", [(), (1,), (9, 9), (9, 16), (17, 9), (3, 5, 8)])
def test_levels_that_are_not_nested(resolutions, plane, objective):
    with pytest.raises(ValueError, match="expected points a side from 2 up where each n - 1"):
        loss_slices(objective, plane, resolutions)


def test_bad_blocks_and_planes(plane, objective, bowl):
    with pytest.raises(ValueError, match="block is 0, expected at least 1 point"):
        loss_slices(objective, plane, (9,), block=0)
    with pytest.raises(ValueError, match="The plane has 75 parameters and the objective 2"):
        loss_slice(bowl, plane, 3)
