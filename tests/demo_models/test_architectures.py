"""The paper's network, the residual network and the transformer: layers, starts, torch.func."""

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from demo_models import networks
from demo_models.architectures import build
from demo_models.images import image_shape
from demo_models.networks import QuantConv2d, QuantLinear
from demo_models.problem import build as build_problem
from demo_models.qat import MaskedDropout, redraw_dropout
from demo_models.quantizers import fake_quantize
from demo_models.residual import ResidualBlock
from demo_models.scenario import NetworkSpec
from demo_models.scenarios import SCENARIOS
from demo_models.transformer import Attention
from probes import Objective

QAT = NetworkSpec("qat", (16, 32), "relu", 2, 2)
RESIDUAL = NetworkSpec("residual", (4, 8), "relu", 4, 4)
TRANSFORMER = NetworkSpec("transformer", (8, 12, 16), "gelu")
SPECS = pytest.mark.parametrize(
    "spec", [QAT, RESIDUAL, TRANSFORMER], ids=lambda spec: str(spec.kind)
)


def flat(network: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().reshape(-1) for parameter in network.parameters()])


def samples(count: int, features: int = 64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.rand(count, features, generator=generator, dtype=torch.float64)
    return inputs, torch.randint(10, (count,), generator=generator)


@pytest.mark.parametrize("bits", [32, 4, 2])
def test_the_papers_network_on_32_x_32_x_3(bits: int) -> None:
    network = build(NetworkSpec("qat", (16, 32), "relu", bits, bits), 3072, 100, seed=0).double()
    w1, b1, w2, b2, w3, b3 = network.parameters()
    assert (w1.shape, w2.shape, w3.shape) == ((16, 3, 3, 3), (32, 16, 3, 3), (100, 2048))
    x, _ = samples(3, 3072)
    hidden = functional.conv2d(x.view(3, 3, 32, 32), fake_quantize(w1, bits), b1, padding=1)
    hidden = functional.max_pool2d(fake_quantize(torch.relu(hidden), bits), 2)
    hidden = functional.conv2d(hidden, fake_quantize(w2, bits), b2, padding=1)
    hidden = functional.max_pool2d(fake_quantize(torch.relu(hidden), bits), 2)
    mask = dict(network.named_buffers())["7.mask"]
    assert mask.shape == (32, 8, 8)
    kept = (hidden * mask / 0.75).reshape(3, 2048)
    torch.testing.assert_close(network(x), kept @ fake_quantize(w3, bits).T + b3)
    network.eval()
    whole = hidden.reshape(3, 2048)
    torch.testing.assert_close(network(x), whole @ fake_quantize(w3, bits).T + b3)


def test_a_dropout_mask_stays_until_it_is_redrawn() -> None:
    network = build(QAT, 3072, 10, seed=0)
    (layer,) = (m for m in network.modules() if isinstance(m, MaskedDropout))
    x = torch.ones(2, 32, 8, 8)
    before = layer(x)
    # 2048 entries, each kept with probability 3/4: a standard deviation of 0.0096.
    assert float(layer.mask.mean()) == pytest.approx(0.75, abs=0.04)
    assert before.unique().tolist() == pytest.approx([0.0, 4.0 / 3.0])
    assert torch.equal(layer(x), before)
    assert torch.equal(before[0], before[1])
    state = torch.get_rng_state()
    redraw_dropout(network, torch.Generator().manual_seed(5))
    assert torch.equal(torch.get_rng_state(), state)
    after = layer(x)
    assert 0.2 < float((after != before).double().mean()) < 0.5  # 2 x 3/4 x 1/4 = 0.375
    redraw_dropout(network, torch.Generator().manual_seed(5))
    assert torch.equal(layer(x), after)
    assert "(32, 8, 8), p=0.25" in repr(network)


@pytest.mark.parametrize("training", [True, False])
def test_the_papers_network_is_evaluated_layer_by_layer(training: bool) -> None:
    network = build(QAT, 3072, 10, seed=0).double().train(training)
    x, labels = samples(9, 3072)
    objective = Objective.from_module(network, functional.cross_entropy, (x, labels))
    assert objective.evaluator == "layered"
    points = objective.theta + 0.05 * torch.randn(4, objective.size, dtype=torch.float64)
    expected = torch.stack([objective.loss(point) for point in points])
    torch.testing.assert_close(objective.losses(points), expected)


@pytest.mark.parametrize("p", [-0.1, 1.0, float("nan")])
def test_a_share_that_drops_everything_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match=rf"p is {p}; expected at least 0 and less than 1\."):
        MaskedDropout((3,), p)


def test_a_residual_block_computes_what_it_says() -> None:
    network = build(NetworkSpec("residual", (4, 8)), 64, 10, seed=0).double()
    block = next(m for m in network.modules() if isinstance(m, ResidualBlock) and m.padding)
    x = torch.rand(5, 4, 4, 4, generator=torch.Generator().manual_seed(0)).double()

    def normal(y: Tensor) -> Tensor:
        mean, square = y.mean((0, 2, 3), keepdim=True), y.var((0, 2, 3), False, keepdim=True)
        return (y - mean) / (square + 1e-5).sqrt()

    hidden = torch.relu(normal(functional.conv2d(x, block.first.weight, padding=1)))
    hidden = normal(functional.conv2d(hidden, block.second.weight, padding=1))
    shortcut = torch.cat((x, torch.zeros_like(x)), dim=1)
    torch.testing.assert_close(block(x), torch.relu(hidden + shortcut))
    convolutions = [m for m in network.modules() if isinstance(m, QuantConv2d)]
    assert len(convolutions) == 5
    assert all(layer.bias is None for layer in convolutions)


def test_attention_is_torchs_own() -> None:
    network = build(TRANSFORMER, 64, 10, seed=0).double()
    layer = next(m for m in network.modules() if isinstance(m, Attention))
    reference = nn.MultiheadAttention(8, 4, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        assert reference.in_proj_weight is not None
        reference.in_proj_weight.copy_(layer.queries_keys_values.weight)
        reference.in_proj_bias.copy_(layer.queries_keys_values.bias)
        reference.out_proj.weight.copy_(layer.out.weight)
        reference.out_proj.bias.copy_(layer.out.bias)
    x = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0)).double()
    expected, _ = reference(x, x, x)
    torch.testing.assert_close(layer(x), expected)


def test_a_transformer_reads_rows_and_knows_their_places() -> None:
    network = build(TRANSFORMER, 64, 10, seed=0).double()
    x, _ = samples(2)
    tokens = network[1](network[0](x))
    assert tokens.shape == (2, 8, 8)
    first_row = x[:, :8] @ network[1].map.weight.T + network[1].map.bias
    torch.testing.assert_close(tokens[:, 0], first_row + network[1].positions[0])
    swapped = x.view(2, 8, 8).flip(1).reshape(2, 64)
    assert not torch.allclose(network(swapped), network(x))
    with torch.no_grad():
        network[1].positions.zero_()
    torch.testing.assert_close(network(swapped), network(x))


@SPECS
def test_starts_depend_on_the_seed_alone(spec: NetworkSpec) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        before = torch.get_rng_state()
        first = build(spec, 64, 10, seed=0)
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(2)
        again = build(spec, 64, 10, seed=0)
    other = build(spec, 64, 10, seed=1)
    assert torch.equal(flat(first), flat(again))
    assert not torch.equal(flat(first), flat(other))
    # Runs of several seeds share one network in lockstep, and so its buffers.
    for one, two in zip(first.buffers(), other.buffers(), strict=True):
        assert torch.equal(one, two)


@SPECS
def test_weights_follow_he_and_normalisations_start_at_one(spec: NetworkSpec) -> None:
    network = build(spec, 64, 10, seed=0)
    for layer in network.modules():
        if isinstance(layer, QuantLinear | QuantConv2d):
            expected = (2.0 / layer.weight[0].numel()) ** 0.5
            count = layer.weight.numel()
            assert float(layer.weight.detach().std()) == pytest.approx(
                expected, rel=4 / (2 * count) ** 0.5
            )
            assert layer.bias is None or not bool(layer.bias.any())
        elif isinstance(layer, nn.LayerNorm | nn.BatchNorm2d):
            assert torch.equal(layer.weight, torch.ones_like(layer.weight))
            assert torch.equal(layer.bias, torch.zeros_like(layer.bias))
    if spec.kind == "residual":
        buffers = dict(network.named_buffers())
        assert float(buffers["2.running_mean"].abs().max()) == 0.0
        assert torch.equal(buffers["2.running_var"], torch.ones(4))


@SPECS
def test_an_objective_maps_it_and_agrees_with_autograd(spec: NetworkSpec) -> None:
    network = build(spec, 64, 10, seed=0).double()
    x, y = samples(6)
    before = [buffer.clone() for buffer in network.buffers()]
    objective = Objective.from_module(network, functional.cross_entropy, (x, y))
    assert objective.supports_vmap
    points = torch.stack([flat(network), flat(build(spec, 64, 10, seed=1).double())])
    mapped = vmap(objective.loss)(points), vmap(grad(objective.loss))(points)
    for losses, gradients in (objective.losses_and_gradients(points), mapped):
        for seed in (0, 1):
            single = build(spec, 64, 10, seed=seed).double()
            loss = functional.cross_entropy(single(x), y)
            expected = torch.autograd.grad(loss, list(single.parameters()))
            torch.testing.assert_close(losses[seed], loss.detach(), rtol=1e-12, atol=0)
            torch.testing.assert_close(
                gradients[seed], torch.cat([g.reshape(-1) for g in expected]), rtol=1e-9, atol=1e-12
            )
    for old, new in zip(before, network.buffers(), strict=True):
        assert torch.equal(old, new)


@SPECS
def test_functional_call_maps_it_with_buffers_of_each_run(spec: NetworkSpec) -> None:
    network = build(spec, 64, 10, seed=0).double()
    x, y = samples(6)
    parameters = {
        name: torch.stack((p.detach(), 1.1 * p.detach())) for name, p in network.named_parameters()
    }
    buffers = {name: torch.stack((b, b)) for name, b in network.named_buffers()}

    def loss(own: dict[str, Tensor], state: dict[str, Tensor]) -> Tensor:
        return functional.cross_entropy(functional_call(network, (own, state), (x,)), y)

    gradients = vmap(grad(loss))(parameters, buffers)
    for run in (0, 1):
        single = build(spec, 64, 10, seed=0).double()
        with torch.no_grad():
            for name, parameter in single.named_parameters():
                parameter.copy_(parameters[name][run])
        functional.cross_entropy(single(x), y).backward()
        for name, parameter in single.named_parameters():
            torch.testing.assert_close(gradients[name][run], parameter.grad, rtol=1e-9, atol=1e-12)


def test_a_gelu_transformer_is_smooth_and_a_residual_network_is_not() -> None:
    """The Hölder exponent by hand, from second differences at radii 1/100 and 1/200."""
    found = {}
    for spec in (TRANSFORMER, NetworkSpec("residual", (4, 8), "relu")):
        network = build(spec, 64, 10, seed=0).double()
        objective = Objective.from_module(network, functional.cross_entropy, samples(64))
        theta = flat(network)
        u = torch.randn(4, len(theta), generator=torch.Generator().manual_seed(0)).double()
        u /= u.norm(dim=1, keepdim=True)
        means = []
        for radius in (0.01, 0.005):
            outer = objective.losses(theta + radius * u) + objective.losses(theta - radius * u)
            means.append((outer - 2.0 * objective.losses(theta[None])).abs().mean())
        found[spec.kind] = float((means[0] / means[1]).log2())
    assert found["transformer"] == pytest.approx(2.0, abs=0.01)
    assert abs(found["residual"] - 2.0) > 0.01


@pytest.mark.parametrize("key", ["digits-qat", "digits-residual", "digits-transformer"])
def test_codes_leave_normalisations_and_positions_out(key: str) -> None:
    made = build_problem(SCENARIOS[key].rounded(2))
    layers = [m for m in made.network(0).modules() if isinstance(m, QuantLinear | QuantConv2d)]
    assert made.quantized == sum(layer.weight.numel() for layer in layers)
    codes = made.codes(made.start(0)[None])
    assert set(codes.unique().tolist()) == {-1, 0, 1}


@pytest.mark.parametrize(
    ("features", "expected"), [(64, (1, 8, 8)), (3072, (3, 32, 32)), (12288, (3, 64, 64))]
)
def test_the_length_tells_the_shape(features: int, expected: tuple[int, int, int]) -> None:
    assert image_shape(features, 1) == expected


@pytest.mark.parametrize(
    ("spec", "features", "text"),
    [
        (
            QAT,
            2,
            r"got 2 features a sample; expected a square image of 1 or 3 channels, at least 4",
        ),
        (QAT, 4, r"got 4 features a sample; expected .* at least 4 x 4\. Use an MLP"),
        (NetworkSpec("residual", (8, 4)), 64, r"hidden is \(8, 4\); expected channels that never"),
        (NetworkSpec("transformer", (6, 8)), 64, r"hidden is \(6, 8\); expected a token width"),
        (NetworkSpec("transformer", (8,)), 64, r"hidden is \(8,\); expected a token width that"),
    ],
)
def test_what_cannot_be_built_is_refused(spec: NetworkSpec, features: int, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        build(spec, features, 10, seed=0)


def test_other_kinds_are_built_as_before() -> None:
    spec = NetworkSpec("mlp", (5,), "relu", 2, 2)
    assert torch.equal(flat(build(spec, 64, 10, 3)), flat(networks.build(spec, 64, 10, 3)))
