import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from probes import (
    Objective,
    Plane,
    fidelity,
    pca_plane,
    random_plane,
    start_end_plane,
    step_plane,
)

double = torch.float64


def walk(count=30, size=40, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, size, generator=generator, dtype=double).cumsum(dim=0)


def inside(plane, points):
    a, b, _ = plane.project(points)
    a0, a1, b0, b1 = plane.extent
    return bool(((a >= a0) & (a <= a1) & (b >= b0) & (b <= b1)).all())


def orthonormal(plane, atol=1e-12):
    gram = plane.axes @ plane.axes.T
    torch.testing.assert_close(gram, torch.eye(2, dtype=gram.dtype), rtol=0, atol=atol)


@given(
    a=st.floats(-5, 5),
    b=st.floats(-5, 5),
    skew=st.floats(-3, 3),
    off=st.floats(-4, 4),
    seed=st.integers(0, 100),
)
@settings(max_examples=60, deadline=None)
def test_projecting_a_point_gives_its_coordinates(a, b, skew, off, seed):
    frame = torch.linalg.qr(walk(3, 12, seed).T).Q.T
    axes = torch.stack((2.0 * frame[0], frame[1] + skew * frame[0]))
    plane = Plane(torch.ones(12, dtype=double), axes, (-1.0, 1.0, -1.0, 1.0))
    point = plane.origin + a * axes[0] + b * axes[1] + off * frame[2]
    found = plane.project(point)
    expected = torch.tensor([a, b, abs(off)], dtype=double)
    torch.testing.assert_close(torch.stack(found), expected, rtol=1e-9, atol=1e-9)


def test_project_keeps_leading_axes():
    paths = walk(12, 9).view(3, 4, 9)
    plane = pca_plane(paths.view(12, 9))
    assert [part.shape for part in plane.project(paths)] == [(3, 4)] * 3
    assert plane.project(paths)[2][1, 2] == pytest.approx(plane.project(paths[1, 2])[2].item())


def test_coordinates_are_those_of_project():
    axes = torch.stack((2.0 * walk(2, 9)[0], walk(2, 9)[1]))
    plane = Plane(torch.ones(9, dtype=double), axes, (-1.0, 1.0, -1.0, 1.0))
    paths = walk(12, 9, 3).view(3, 4, 9)
    for points in (paths, paths[0], paths[1, 2], paths[:0], paths[:0, 0], paths.expand(2, 3, 4, 9)):
        a, b, _ = plane.project(points)
        found = plane.coordinates(points)
        torch.testing.assert_close(found, (a, b), rtol=1e-12, atol=1e-12)
    moved = plane.with_extent(0.0, 1.0, 0.0, 1.0)
    torch.testing.assert_close(moved.coordinates(paths), plane.coordinates(paths))


def test_coordinates_in_float32_are_right_to_a_hundred_thousandth():
    start = 0.15 * torch.randn(9000, generator=torch.Generator().manual_seed(0))
    paths = start + 0.01 * walk(100, 9000).float()
    small = step_plane(start, walk(1, 9000)[0].float(), 1e-4 * walk(1, 9000, 1)[0].float())
    for plane in (pca_plane(paths), small):
        way = (paths - plane.origin).norm(dim=1).max() / plane.axes.norm(dim=1)
        for i in (0, 1):
            exact, found = plane.project(paths)[i], plane.coordinates(paths)[i]
            assert found.dtype == torch.float32
            assert (found.double() - exact).abs().max() < 1e-5 * way[i]


def test_points_are_row_major_as_b_a():
    origin, axes = torch.zeros(3, dtype=double), torch.eye(3, dtype=double)[:2]
    plane = Plane(origin, axes, (0.0, 1.0, 0.0, 1.0))
    a, b = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([10.0, 20.0])
    points = plane.points(a, b).view(2, 3, 3)
    assert points[1, 2].tolist() == [3.0, 20.0, 0.0]
    assert points[0, 1].tolist() == [2.0, 10.0, 0.0]
    assert torch.equal(plane.at(torch.tensor([3.0]), torch.tensor([20.0]))[0], points[1, 2])


def test_grid_and_extent():
    plane = pca_plane(walk()).with_extent(-1.0, 3.0, 0.0, 2.0)
    a, b = plane.grid(5)
    assert a.tolist() == [-1.0, 0.0, 1.0, 2.0, 3.0]
    assert b.tolist() == [0.0, 0.5, 1.0, 1.5, 2.0]
    with pytest.raises(ValueError, match="resolution is 1, expected at least 2 points a side"):
        plane.grid(1)


@pytest.mark.parametrize(
    ("origin", "axes", "extent", "text"),
    [
        (3, torch.ones(2, 4), (0, 1, 0, 1), r"shapes \(3,\) and \(2, 4\), expected \(P,\)"),
        (2, torch.eye(2), (1, 0, 0, 1), "expected finite"),
        (2, torch.eye(2), (0, float("nan"), 0, 1), "expected finite"),
        (2, torch.ones(2, 2), (0, 1, 0, 1), "The two axes are parallel, zero or not finite"),
        (2, torch.tensor([[0.0, 0.0], [1.0, 0.0]]), (0, 1, 0, 1), "parallel, zero or not finite"),
    ],
)
def test_bad_planes(origin, axes, extent, text):
    with pytest.raises(ValueError, match=text):
        Plane(torch.zeros(origin), axes, extent)


def test_pca_agrees_with_the_singular_value_decomposition():
    paths = walk()
    plane = pca_plane(paths)
    centred = (paths - paths.mean(dim=0)).numpy()
    _, values, rows = np.linalg.svd(centred, full_matrices=False)
    orthonormal(plane)
    overlap = np.abs(rows[:2] @ plane.axes.numpy().T)
    np.testing.assert_allclose(overlap, np.eye(2), atol=1e-9)
    flat = Objective.from_function(lambda x: x.sum(dim=1), paths[0])
    share = fidelity(plane, flat, paths).variance_share
    assert share == pytest.approx((values[:2] ** 2).sum() / (values**2).sum(), rel=1e-12)
    a, b, _ = plane.project(paths[0])
    assert a < 0.0
    assert b < 0.0


def test_pca_extent_holds_the_paths_with_a_margin():
    paths = walk()
    plane = pca_plane(paths, margin=0.25)
    a, _, _ = plane.project(paths)
    width = float(a.max() - a.min())
    assert plane.extent[0] == pytest.approx(float(a.min()) - 0.25 * width)
    assert plane.extent[1] == pytest.approx(float(a.max()) + 0.25 * width)
    assert inside(plane, paths)
    assert plane.kind == "pca"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "paths",
    [
        torch.full((1, 6), 2.0),
        torch.full((5, 6), 0.1),
        torch.zeros(4, 6),
        torch.linspace(0, 1, 5)[:, None] * torch.arange(6.0),
        1000.0 + torch.linspace(0, 1, 5)[:, None] * torch.arange(6.0),
        torch.tensor([[0.0, 1.0], [0.0, 2.0]]),
        1e-20 * torch.eye(6),
    ],
)
def test_degenerate_paths_get_a_finite_plane(paths, dtype):
    paths = paths.to(dtype)
    plane = pca_plane(paths)
    orthonormal(plane, atol=1e-6)
    assert np.isfinite(plane.extent).all()
    a0, a1, b0, b1 = plane.extent
    if len(paths) < 6:
        assert a1 - a0 == pytest.approx(b1 - b0, rel=1e-3)  # a square, for want of a width
    again = pca_plane(paths)
    assert torch.equal(plane.axes, again.axes)


def test_start_and_ends_lie_on_their_plane():
    paths = walk(3, 20, seed=2)
    plane = start_end_plane(paths[0], paths[1:])
    a, b, distance = plane.project(paths)
    orthonormal(plane)
    assert distance.max() < 1e-12
    assert (a[0], b[0], b[1].abs() < 1e-12) == (0.0, 0.0, True)
    assert a[1] == pytest.approx(float((paths[1] - paths[0]).norm()))
    assert torch.dist(paths[1], paths[2]) == pytest.approx(
        float(torch.hypot(a[1] - a[2], b[1] - b[2]))
    )
    assert inside(plane, paths)
    assert plane.kind == "start-end"


@pytest.mark.parametrize("ends", [[[3.0, 0, 0]], [[3.0, 0, 0]] * 2, [[0, 0, 0], [0, 2.0, 0]]])
def test_start_end_plane_with_too_few_ends(ends):
    start, ends = torch.zeros(3, dtype=double), torch.tensor(ends, dtype=double)
    plane = start_end_plane(start, ends)
    orthonormal(plane)
    assert plane.project(ends)[2].max() < 1e-12
    assert inside(plane, ends)


def test_more_ends_widen_the_extent():
    paths = walk(5, 20)
    far = torch.cat((paths[1:3], paths[:1] + 3.0 * (paths[1:2] - paths[:1])))
    plane = start_end_plane(paths[0], far)
    assert inside(plane, far)


def test_a_step_plane_by_hand():
    theta = torch.tensor([1.0, 2.0, 3.0], dtype=double)
    gradient = torch.tensor([-4.0, 7.0, 0.0], dtype=double)
    update = torch.tensor([0.2, 0.0, 0.0], dtype=double)
    plane = step_plane(theta, gradient, update, reach=2.0)
    # Across the update the gradient points along +y, so downhill is -y, as long as the update.
    assert plane.axes.tolist() == [[0.2, 0.0, 0.0], [0.0, -0.2, 0.0]]
    assert (plane.kind, plane.extent) == ("step", (-2.0, 2.0, -2.0, 2.0))
    assert torch.equal(plane.origin, theta)
    after = plane.project(theta + update)
    torch.testing.assert_close(torch.stack(after), torch.tensor([1.0, 0, 0], dtype=double))
    theta += 1.0
    assert plane.origin[0] == 1.0  # a copy


@pytest.mark.parametrize("dtype", [torch.float32, double])
def test_a_step_plane_holds_the_step_and_the_gradient(dtype):
    theta, gradient, update = walk(3, 500).to(dtype)
    for size in (1e-4, 1.0):
        plane = step_plane(theta, gradient, size * update)
        a, b, distance = plane.project(torch.stack((theta + size * update, theta - gradient)))
        assert a[0] == pytest.approx(1.0, rel=1e-2 if dtype is torch.float32 else 1e-10)
        assert b[1] > 0.0
        assert distance[1] < 1e-5 * gradient.norm()
        length = float((size * update).norm())
        gram = plane.axes.double() @ plane.axes.double().T / length**2
        torch.testing.assert_close(gram, torch.eye(2, dtype=double), rtol=0, atol=1e-6)
        assert plane.axes.dtype == dtype


@pytest.mark.parametrize("dtype", [torch.float32, double])
@pytest.mark.parametrize("factor", [0.0, -0.3, 2.0])
def test_a_gradient_along_the_update_gets_a_fixed_direction(factor, dtype):
    theta, update = walk(2, 400).to(dtype)
    # What an optimizer moved, as a difference of two vectors, is parallel up to rounding only.
    moved = (theta + 0.01 * update) - theta
    plane = step_plane(theta, factor * update, moved)
    again = step_plane(theta, factor * update, moved)
    assert torch.equal(plane.axes, again.axes)
    length = float(moved.norm())
    orthonormal(Plane(theta, plane.axes / length, (-1, 1, -1, 1)), atol=1e-5)
    torch.testing.assert_close(plane.axes[0], moved)
    clean = step_plane(theta, torch.zeros(400), moved)
    torch.testing.assert_close(plane.axes, clean.axes)


@pytest.mark.parametrize("theta", [torch.zeros(4), torch.tensor([3.0, 0.0, 0.0, 4.0])])
@pytest.mark.parametrize("gradient", [torch.zeros(4), torch.tensor([0.0, 6.0, 0.0, 8.0])])
def test_a_step_plane_of_a_zero_update(theta, gradient):
    plane = step_plane(theta, gradient, torch.zeros(4))
    length = 0.05 if theta.any() else 1.0
    torch.testing.assert_close(plane.axes.norm(dim=1), torch.full((2,), length))
    assert abs(float(plane.axes[0] @ plane.axes[1])) < 1e-6 * length**2
    if gradient.any():
        torch.testing.assert_close(plane.axes[1], -length * gradient / 10.0)
    assert torch.equal(plane.axes, step_plane(theta, gradient, torch.zeros(4)).axes)


def test_a_step_plane_of_two_parameters():
    theta, slope = torch.tensor([1.0, 1.0]), torch.tensor([2.0, 0.0])
    plane = step_plane(theta, slope, -0.1 * slope)
    torch.testing.assert_close(plane.axes.abs(), 0.2 * torch.eye(2))


def test_filter_normalisation_gives_each_filter_its_own_norm(objective):
    plane = random_plane(objective, objective.theta, seed=1)
    assert plane.kind == "random-filter"
    assert torch.equal(plane.origin, objective.theta)
    for entry in objective.layout:
        part = plane.axes[:, entry.start : entry.stop]
        if len(entry.shape) == 1:
            assert not part.any()
        else:
            norms = part.view(2, *entry.shape).norm(dim=2)
            own = objective.theta[entry.start : entry.stop].view(entry.shape).norm(dim=1)
            torch.testing.assert_close(norms, own.expand(2, -1), rtol=1e-8, atol=0)


def test_filters_of_a_convolution_are_its_output_channels():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(3, 2)).double()
    batch = (torch.randn(4, 2, 3, 3, dtype=double), torch.tensor([0, 1, 1, 0]))
    conv = Objective.from_module(net, nn.functional.cross_entropy, batch)
    axis = random_plane(conv, conv.theta, seed=1).axes[0, :54].view(3, 18)
    torch.testing.assert_close(axis.norm(dim=1), conv.theta[:54].view(3, 18).norm(dim=1))


def test_layer_and_no_normalisation(objective):
    layer = random_plane(objective, objective.theta, normalize="layer", seed=1, reach=0.5)
    for entry in objective.layout:
        norms = layer.axes[:, entry.start : entry.stop].norm(dim=1)
        own = objective.theta[entry.start : entry.stop].norm()
        torch.testing.assert_close(norms, own.expand(2), rtol=1e-8, atol=0)
    assert layer.extent == (-0.5, 0.5, -0.5, 0.5)
    plain = random_plane(objective, objective.theta, normalize="none", seed=1)
    assert plain.axes.norm(dim=1).mean().item() == pytest.approx(75**0.5, rel=0.2)
    other = random_plane(objective, objective.theta, normalize="none", seed=2)
    assert not torch.equal(plain.axes, other.axes)


def test_a_function_has_no_filters(bowl):
    plane = random_plane(bowl, bowl.theta, seed=0)
    assert plane.kind == "random-layer"
    torch.testing.assert_close(plane.axes.norm(dim=1), bowl.theta.norm().expand(2))


def test_fidelity_of_a_plane_that_holds_the_paths(bowl):
    paths = torch.tensor([[0.0, 0.0], [1.0, 2.0], [3.0, -1.0]], dtype=double)
    kept = fidelity(pca_plane(paths), bowl, paths)
    assert kept.variance_share == pytest.approx(1.0)
    assert kept.median_loss_error < 1e-12
    assert kept.largest_distance < 1e-12


def test_fidelity_of_a_plane_that_does_not():
    sums = Objective.from_function(lambda x: x.sum(dim=1), torch.zeros(3, dtype=double))
    plane = Plane(torch.zeros(3, dtype=double), torch.eye(3, dtype=double)[:2], (-1, 1, -1, 1))
    paths = torch.tensor([[1.0, 0, 3], [-1.0, 0, -3], [0, 0, 0]], dtype=double)
    kept = fidelity(plane, sums, paths)
    assert kept.variance_share == pytest.approx(0.1)
    assert kept.median_loss_error == pytest.approx(3.0)
    assert kept.largest_distance == pytest.approx(3.0)
    still = fidelity(plane, sums, paths[:1])
    assert still.variance_share == 1.0


def test_bad_values(objective, bowl):
    lone = Objective.from_function(lambda x: x[:, 0], torch.ones(1))
    bad = torch.tensor([[0.0, float("nan")]])
    cases = [
        (lambda: random_plane(objective, objective.theta, normalize="row", seed=0), "'row', exp"),
        (lambda: random_plane(objective, torch.zeros(75), seed=0), "use normalize='none'"),
        (lambda: random_plane(objective, torch.zeros(3), seed=0), r"shape \(1, 3\), expected"),
        (lambda: random_plane(lone, lone.theta, seed=0), "has 1 parameter, expected at least 2"),
        (lambda: pca_plane(torch.ones(4)), r"paths have shape \(4,\), expected \(N, P\)"),
        (lambda: pca_plane(torch.ones(0, 4)), r"paths have shape \(0, 4\)"),
        (lambda: pca_plane(bad), "paths hold nan or inf, expected finite points"),
        (lambda: pca_plane(torch.eye(3), margin=-1.0), r"margin is -1\.0, expected a share"),
        (lambda: start_end_plane(torch.ones(3), torch.ones(2, 4)), r"\(3,\) and \(2, 4\), expe"),
        (lambda: start_end_plane(torch.ones(2), bad), "start and ends hold nan or inf"),
        (lambda: step_plane(torch.ones(3), torch.ones(2), torch.ones(3)), r"\(3,\), \(2,\) and"),
        (lambda: step_plane(torch.ones(2), torch.ones(2), bad[0]), "gradient and update hold nan"),
        (lambda: step_plane(torch.ones(1), torch.ones(1), torch.ones(1)), "P at least 2"),
        (lambda: step_plane(*torch.eye(3), reach=0.0), r"reach is 0\.0, expected a finite"),
        (lambda: fidelity(pca_plane(torch.eye(2)), bowl, bad), "paths hold nan or inf"),
    ]
    for call, text in cases:
        with pytest.raises(ValueError, match=text):
            call()
