"""Integer levels of all rounded weights against rounding layer by layer."""

import pytest
import torch

from demo_models import problem
from demo_models.networks import QuantConv2d, QuantLinear
from demo_models.problem import Problem
from demo_models.quantizers import levels
from demo_models.scenarios import DEFAULT, SCENARIOS


def built(key: str, bits: int) -> Problem:
    return problem.build(SCENARIOS[key].rounded(bits))


def paths(made: Problem, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Parameters of four seeds at very different sizes, so that a shared scale would show."""
    return torch.stack([made.start(seed) * 4.0**seed for seed in range(4)]).to(dtype)


@pytest.mark.parametrize("key", ["digits-2bit", "cnn-2bit", "spirals"])
@pytest.mark.parametrize("bits", [4, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_codes_are_the_levels_of_each_layer(key: str, bits: int, dtype: torch.dtype) -> None:
    made = built(key, bits)
    thetas = paths(made, dtype)
    actual = made.codes(thetas)
    network = made.network(0).to(dtype)
    for theta, row in zip(thetas, actual, strict=True):
        torch.nn.utils.vector_to_parameters(theta, network.parameters())
        expected = torch.cat(
            [
                levels(layer.weight.detach(), bits).reshape(-1)
                for layer in network.modules()
                if isinstance(layer, QuantLinear | QuantConv2d)
            ]
        )
        assert torch.equal(row.to(dtype), expected)
    assert actual.dtype == torch.int8
    assert made.quantized == actual.shape[1] == len(expected)


def test_the_default_rounds_8832_weights() -> None:
    made = problem.build(SCENARIOS[DEFAULT])
    assert made.quantized == 64 * 64 + 64 * 64 + 64 * 10 == 8832
    codes = made.codes(made.start(0)[None])
    assert set(codes.unique().tolist()) == {-1, 0, 1}


def test_a_bias_that_moves_changes_no_level() -> None:
    made = problem.build(SCENARIOS[DEFAULT])
    theta = made.start(0).repeat(2, 1)
    theta[1, 4096:4160] += 1.0  # the first layer's bias
    before, after = made.codes(theta)
    assert torch.equal(before, after)


def test_one_weight_across_its_edge_changes_its_own_level() -> None:
    made = problem.build(SCENARIOS[DEFAULT])
    theta = made.start(0).repeat(2, 1)
    place = 4096 + 64 + 5  # weight 5 of the second layer, after weights and bias of the first
    theta[0, place], theta[1, place] = 0.0, theta[0, 4160:8256].abs().max() / 2.0
    before, after = made.codes(theta)
    assert torch.nonzero(before != after).flatten().tolist() == [4096 + 5]
    assert (before[4101], after[4101]) == (0, 1)


@pytest.mark.parametrize("key", ["digits-32bit", "abs-l1"])
def test_where_nothing_is_rounded_there_are_no_codes(key: str) -> None:
    made = problem.build(SCENARIOS[key])
    assert made.quantized == 0
    codes = made.codes(made.start(0).repeat(3, 1))
    assert (codes.shape, codes.dtype) == ((3, 0), torch.int8)


def test_no_vectors_have_no_codes() -> None:
    made = problem.build(SCENARIOS[DEFAULT])
    assert made.codes(torch.zeros(0, 8970)).shape == (0, 8832)


def test_runs_are_rounded_each_with_its_own_scale() -> None:
    x = torch.tensor([[[1.0, 0.4]], [[100.0, 1.0]]])
    assert levels(x, 4, 2).tolist() == [[[7, 3]], [[7, 0]]]
    assert levels(x, 4, 1).tolist() == [[[7, 3]], [[7, 0]]]
    assert levels(x, 4).tolist() == [[[0, 0]], [[7, 0]]]


@pytest.mark.parametrize("shape", [(8970,), (3, 8969), (1, 3, 8970)])
def test_vectors_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    made = problem.build(SCENARIOS[DEFAULT])
    with pytest.raises(ValueError, match=r"theta has shape .*; expected \(N, 8970\)"):
        made.codes(torch.zeros(shape))
