"""On an NVIDIA GPU the probes give what they give on a CPU."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from demo_models import networks
from demo_models.scenario import NetworkSpec
from probes import Objective, Plane, instability, instability_map, loss_slice, random_plane

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="cuda: no NVIDIA GPU here"),
]

cross_entropy = nn.functional.cross_entropy
SHAPES = {"mlp": (64,), "cnn": (64,)}


def both(kind: str, dtype: torch.dtype = torch.float64, bits: int = 32):
    """The same objective on a CPU and on a GPU, and a plane for each."""
    spec = NetworkSpec(kind, (16, 12), "relu", bits, bits)
    network = networks.build(spec, 64, 10, 0)
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(48, *SHAPES[kind], generator=generator)
    classes = torch.randint(0, 10, (48,), generator=generator)
    here = Objective.from_module(network, cross_entropy, (inputs, classes), dtype=dtype)
    module = copy.deepcopy(network).cuda()
    there = Objective.from_module(module, cross_entropy, (inputs, classes), dtype=dtype)
    assert there.device.type == "cuda"
    plane = random_plane(here, here.theta, seed=0)
    moved = Plane(plane.origin.cuda(), plane.axes.cuda(), plane.extent, plane.kind)
    return here, there, plane, moved


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-11), (torch.float32, 1e-5)])
def test_slices_agree(kind, dtype, rtol):
    here, there, plane, moved = both(kind, dtype)
    expected, found = loss_slice(here, plane, 7), loss_slice(there, moved, 7)
    np.testing.assert_allclose(found.losses, expected.losses, rtol=rtol)


def test_a_rounded_network_agrees():
    here, there, plane, moved = both("mlp", bits=2)
    expected, found = loss_slice(here, plane, 7), loss_slice(there, moved, 7)
    np.testing.assert_allclose(found.losses, expected.losses, rtol=1e-11)


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_gradients_agree(kind):
    here, there, plane, _ = both(kind)
    points = plane.points(*plane.grid(3))
    found = there.gradients(points)
    assert found.is_cuda
    torch.testing.assert_close(found.cpu(), here.gradients(points), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("measure", ["lgi", "variance", "asymmetry"])
def test_maps_agree(measure):
    here, there, plane, moved = both("mlp")
    options = {"measure": measure, "k": 4, "sigma": 0.05, "seed": 0}
    expected = instability_map(here, plane, 5, **options)
    found = instability_map(there, moved, 5, **options)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_holder_and_roughness_agree():
    here, there, _, _ = both("mlp", bits=2)
    options = {"k": 8, "sigma": 0.05, "sphere": "global", "seed": 0}
    expected = instability(here, here.theta, **options)
    found = instability(there, there.theta, **options)
    assert expected.holder is not None, "a rounded network's differences are resolved"
    assert expected.roughness is not None
    assert found.holder == pytest.approx(expected.holder, rel=1e-6)
    assert found.roughness == pytest.approx(expected.roughness, rel=1e-6)


def test_convolutions_are_not_rounded_to_tf32():
    exact, _, plane, _ = both("cnn")
    _, there, _, moved = both("cnn", torch.float32)
    assert torch.backends.cudnn.conv.fp32_precision == "tf32", "what torch begins with"
    expected, found = loss_slice(exact, plane, 7), loss_slice(there, moved, 7)
    np.testing.assert_allclose(found.losses, expected.losses, rtol=1e-5)
