"""Networks: their layers, their initial weights, and their use under torch.func."""

import copy
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from demo_models import networks
from demo_models.networks import QuantActivation, QuantLinear
from demo_models.quantizers import fake_quantize
from demo_models.scenario import NetworkSpec

MLP = NetworkSpec("mlp", (64, 64), "relu", 2, 2)
CNN = NetworkSpec("cnn", (16, 32), "relu", 2, 2)
SPECS = pytest.mark.parametrize(
    "spec",
    [
        MLP,
        CNN,
        NetworkSpec("mlp", (32,), "gelu"),
        NetworkSpec("mlp", (16, 16), "tanh", 4, 4),
        NetworkSpec("cnn", (4,), "gelu", 4, 32),
    ],
    ids=lambda spec: f"{spec.kind}-{spec.activation}-{spec.weight_bits}",
)


def flat(network: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().reshape(-1) for parameter in network.parameters()])


def test_the_default_network_has_8832_rounded_weights() -> None:
    network = networks.build(MLP, 64, 10, seed=0)
    linear = [layer for layer in network if isinstance(layer, QuantLinear)]
    assert [(layer.in_features, layer.out_features) for layer in linear] == [
        (64, 64),
        (64, 64),
        (64, 10),
    ]
    assert sum(layer.weight.numel() for layer in linear if layer.bits == 2) == 8832
    assert flat(network).numel() == 8832 + 64 + 64 + 10


def test_the_mlp_computes_what_it_says() -> None:
    network = networks.build(MLP, 64, 10, seed=3)
    x = torch.rand(7, 64, generator=torch.Generator().manual_seed(0))
    w1, b1, w2, b2, w3, b3 = network.parameters()
    hidden = fake_quantize(torch.relu(x @ fake_quantize(w1, 2).T + b1), 2)
    hidden = fake_quantize(torch.relu(hidden @ fake_quantize(w2, 2).T + b2), 2)
    expected = hidden @ fake_quantize(w3, 2).T + b3
    torch.testing.assert_close(network(x), expected)


def test_the_cnn_computes_what_it_says() -> None:
    network = networks.build(CNN, 64, 10, seed=3)
    x = torch.rand(7, 64, generator=torch.Generator().manual_seed(0))
    w1, b1, w2, b2, w3, b3 = network.parameters()
    assert (w1.shape, w2.shape, w3.shape) == ((16, 1, 3, 3), (32, 16, 3, 3), (10, 128))
    hidden = functional.conv2d(x.view(7, 1, 8, 8), fake_quantize(w1, 2), b1, padding=1)
    hidden = functional.max_pool2d(fake_quantize(torch.relu(hidden), 2), 2)
    hidden = functional.conv2d(hidden, fake_quantize(w2, 2), b2, padding=1)
    hidden = functional.max_pool2d(fake_quantize(torch.relu(hidden), 2), 2)
    expected = hidden.reshape(7, 128) @ fake_quantize(w3, 2).T + b3
    torch.testing.assert_close(network(x), expected)


@pytest.mark.parametrize(
    ("name", "expected"), [("relu", 0.5), ("gelu", 0.345731), ("tanh", 0.462117)]
)
def test_activations(name: str, expected: float) -> None:
    value = QuantActivation(name, 32)(torch.tensor([0.5]))
    torch.testing.assert_close(value, torch.tensor([expected]), rtol=1e-5, atol=0)


def test_without_rounding_a_layer_is_torchs_own() -> None:
    network = networks.build(NetworkSpec("mlp", (5,)), 4, 3, seed=0)
    x = torch.rand(2, 4, generator=torch.Generator().manual_seed(0))
    layer = network[0]
    assert torch.equal(layer(x), functional.linear(x, layer.weight, layer.bias))


@SPECS
def test_initial_weights_follow_he_et_al(spec: NetworkSpec) -> None:
    drawn = list(networks.build(spec, 64, 10, seed=5).parameters())
    with torch.random.fork_rng():
        torch.manual_seed(5)
        expected = [
            nn.init.kaiming_normal_(torch.empty_like(p), nonlinearity="relu")
            if p.dim() > 1
            else torch.zeros_like(p)
            for p in drawn
        ]
    torch.testing.assert_close(drawn, expected, rtol=1e-6, atol=1e-7)


@SPECS
def test_building_leaves_the_global_generator_alone(spec: NetworkSpec) -> None:
    before = torch.get_rng_state()
    networks.build(spec, 64, 10, seed=0)
    assert torch.equal(torch.get_rng_state(), before)


@SPECS
def test_initial_weights_depend_on_the_seed_alone(spec: NetworkSpec) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        first = flat(networks.build(spec, 64, 10, seed=0))
        torch.manual_seed(2)
        again = flat(networks.build(spec, 64, 10, seed=0))
    assert torch.equal(first, again)
    assert not torch.equal(first, flat(networks.build(spec, 64, 10, seed=1)))


def test_two_threads_build_the_same_weights_as_one() -> None:
    serial = [flat(networks.build(MLP, 64, 10, seed)) for seed in range(40)]
    barrier = Barrier(2)

    def build_all(seeds: list[int]) -> dict[int, Tensor]:
        barrier.wait(timeout=30)
        return {seed: flat(networks.build(MLP, 64, 10, seed)) for seed in seeds}

    with ThreadPoolExecutor(2) as pool:
        upward = pool.submit(build_all, list(range(40)))
        downward = pool.submit(build_all, list(reversed(range(40))))
        for built in (upward.result(), downward.result()):
            assert all(torch.equal(built[seed], serial[seed]) for seed in range(40))


@SPECS
def test_functional_call_under_vmap_agrees_with_a_loop(spec: NetworkSpec) -> None:
    network = networks.build(spec, 64, 10, seed=0).double()
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(6, 64, generator=generator, dtype=torch.float64)
    y = torch.randint(10, (6,), generator=generator)
    stacked = {
        name: parameter.detach()
        * torch.logspace(-1, 1, 4, dtype=torch.float64).view(-1, *[1] * parameter.dim())
        for name, parameter in network.named_parameters()
    }

    def loss(parameters: dict[str, Tensor]) -> Tensor:
        return functional.cross_entropy(functional_call(network, parameters, (x,)), y)

    losses, gradients = vmap(loss)(stacked), vmap(grad(loss))(stacked)
    for run in range(4):
        single = copy.deepcopy(network)
        with torch.no_grad():
            for name, parameter in single.named_parameters():
                parameter.copy_(stacked[name][run])
        value = functional.cross_entropy(single(x), y)
        value.backward()
        torch.testing.assert_close(losses[run], value.detach(), rtol=1e-12, atol=1e-12)
        for name, parameter in single.named_parameters():
            torch.testing.assert_close(gradients[name][run], parameter.grad, rtol=1e-11, atol=1e-12)


def test_a_cnn_refuses_features_that_are_no_image() -> None:
    with pytest.raises(ValueError, match=r"got 2 features a sample; expected a square.*4 x 4\."):
        networks.build(CNN, 2, 2, seed=0)
    with pytest.raises(ValueError, match=r"got 4 features a sample.*Use an MLP"):
        networks.build(CNN, 4, 2, seed=0)


def test_a_printed_network_tells_its_rounding() -> None:
    assert "relu, bits=2" in repr(networks.build(MLP, 64, 10, seed=0))
