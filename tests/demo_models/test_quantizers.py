"""The fake quantizer against codes worked out by hand, and its gradient under torch.func."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.func import grad, vmap

from demo_models.quantizers import OFFSET, fake_quantize, levels

BITS = pytest.mark.parametrize("bits", [4, 2])


def double(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_codes_at_4_bits_by_hand() -> None:
    # max|x| = 1, so scale = 7 / 1.00001 = 6.99993: 0.5 -> 3.49997 -> 3 and 0.51 -> 3.57 -> 4.
    x = double(1.0, -1.0, 0.5, -0.5, 0.51, 0.0, 0.07, 0.08)
    assert levels(x, 4).tolist() == [7, -7, 3, -3, 4, 0, 0, 1]
    expected = double(7, -7, 3, -3, 4, 0, 0, 1) * 1.00001 / 7
    torch.testing.assert_close(fake_quantize(x, 4), expected, rtol=0, atol=1e-15)


def test_codes_at_2_bits_by_hand() -> None:
    # scale = 1.5 / 1.00001: the ends come to +-1.499985 and round to +-1; 1/3 is the first edge.
    x = double(1.0, -1.0, 0.5, 0.34, 0.33, -0.33, -0.34, 0.0)
    assert levels(x, 2).tolist() == [1, -1, 1, 1, 0, 0, -1, 0]
    expected = double(1, -1, 1, 1, 0, 0, -1, 0) * 1.00001 / 1.5
    torch.testing.assert_close(fake_quantize(x, 2), expected, rtol=0, atol=1e-15)


def test_a_relu_output_has_two_values_at_2_bits() -> None:
    x = torch.relu(torch.randn(1000, generator=torch.Generator().manual_seed(0)))
    assert set(levels(x, 2).tolist()) == {0.0, 1.0}


@given(st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=20))
def test_code_minus_2_is_never_used_in_float32(values: list[float]) -> None:
    assert set(levels(torch.tensor(values), 2).tolist()) <= {-1.0, 0.0, 1.0}


def test_without_the_offset_minus_2_would_be_used() -> None:
    # In float32 the offset is lost in a maximum of 1000: -1.5 rounds to the even -2.
    assert levels(torch.tensor([-1000.0, 1000.0]), 2).tolist() == [-2, 1]


@BITS
@given(values=st.lists(st.floats(-8, 8), min_size=1, max_size=20))
def test_rounding_errs_by_half_a_code_unless_clamped(bits: int, values: list[float]) -> None:
    x = torch.tensor(values, dtype=torch.float64)
    step = (x.abs().amax() + OFFSET) / (7.0 if bits == 4 else 1.5)
    inside = levels(x, bits) < (7 if bits == 4 else 1)
    error = (fake_quantize(x, bits) - x).abs()[inside]
    assert bool((error <= 0.5 * step * (1 + 1e-9)).all())


def test_32_bits_change_nothing() -> None:
    x = double(0.1, 0.2)
    assert fake_quantize(x, 32) is x


@BITS
def test_a_zero_tensor_stays_zero(bits: int) -> None:
    assert fake_quantize(torch.zeros(3), bits).tolist() == [0, 0, 0]


@BITS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_gradient_passes_straight_through(bits: int, dtype: torch.dtype) -> None:
    x = torch.tensor([1.0, -1.0, 0.2, 0.0], dtype=dtype, requires_grad=True)
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=dtype)
    (weights * fake_quantize(x, bits)).sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == dtype
    assert torch.equal(x.grad, weights)


def loss(theta: Tensor, x: Tensor, bits: int) -> Tensor:
    """A nonlinear function of rounded weights and activations, theta (12,), x (5, 3)."""
    hidden = torch.tanh(x @ fake_quantize(theta.view(3, 4), bits))
    return (fake_quantize(hidden, bits) ** 2 * (1.0 + hidden)).mean()


def straight_through_loss(theta: Tensor, x: Tensor, bits: int) -> Tensor:
    """The same with the straight-through estimator written as x + (q(x) - x).detach()."""

    def rounded(value: Tensor) -> Tensor:
        return value + (fake_quantize(value.detach(), bits) - value).detach()

    hidden = torch.tanh(x @ rounded(theta.view(3, 4)))
    return (rounded(hidden) ** 2 * (1.0 + hidden)).mean()


def problem() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    # Runs of very different size, so that a scale shared between them would show.
    size = torch.logspace(-2, 1, 6, dtype=torch.float64)[:, None]
    thetas = size * torch.randn(6, 12, generator=generator, dtype=torch.float64)
    return thetas, torch.randn(6, 5, 3, generator=generator, dtype=torch.float64)


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


@BITS
def test_vmap_gives_each_run_its_own_scale(bits: int) -> None:
    thetas, x = problem()
    actual = vmap(lambda theta, batch: loss(theta, batch, bits))(thetas, x)
    close(actual, torch.stack([loss(thetas[r], x[r], bits) for r in range(6)]))


@BITS
def test_vmap_over_one_tensor_alone(bits: int) -> None:
    thetas, x = problem()
    actual = vmap(lambda theta: loss(theta, x[0], bits))(thetas)
    close(actual, torch.stack([loss(theta, x[0], bits) for theta in thetas]))


@BITS
def test_vmap_along_another_dimension(bits: int) -> None:
    thetas, _ = problem()
    actual = vmap(lambda theta: fake_quantize(theta, bits), in_dims=1, out_dims=1)(thetas.T)
    close(actual.T, torch.stack([fake_quantize(theta, bits) for theta in thetas]))


def looped_gradients(thetas: Tensor, x: Tensor, bits: int) -> Tensor:
    rows = []
    for r in range(len(thetas)):
        theta = thetas[r].clone().requires_grad_()
        rows.append(torch.autograd.grad(straight_through_loss(theta, x[r], bits), theta)[0])
    return torch.stack(rows)


@BITS
def test_grad_agrees_with_plain_autograd(bits: int) -> None:
    thetas, x = problem()
    actual = grad(loss)(thetas[3], x[3], bits)
    close(actual, looped_gradients(thetas[3:4], x[3:4], bits)[0])


@BITS
def test_vmap_of_grad_agrees_with_a_loop(bits: int) -> None:
    thetas, x = problem()
    actual = vmap(lambda theta, batch: grad(loss)(theta, batch, bits))(thetas, x)
    close(actual, looped_gradients(thetas, x, bits))


@BITS
def test_grad_of_vmap_agrees_with_a_loop(bits: int) -> None:
    thetas, x = problem()
    total = grad(lambda points: vmap(lambda p, b: loss(p, b, bits))(points, x).sum())
    close(total(thetas), looped_gradients(thetas, x, bits))


def nested() -> Tensor:
    """Values (2, 3, 4, 5) whose size differs by 1000 between any two runs along 0 and 2."""
    generator = torch.Generator().manual_seed(2)
    size = torch.logspace(-4, 3, 8, dtype=torch.float64).view(2, 1, 4, 1)
    return size * torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64)


def rounded_runs(x: Tensor, bits: int) -> Tensor:
    """Each x[i, :, j, :] rounded alone."""
    return torch.stack(
        [torch.stack([fake_quantize(x[i, :, j], bits) for j in range(4)], dim=1) for i in range(2)]
    )


@BITS
@pytest.mark.parametrize("outer", [0, -4])
@pytest.mark.parametrize("inner", [1, -2])
def test_nested_vmap_along_other_dimensions(bits: int, outer: int, inner: int) -> None:
    x = nested()
    once = vmap(lambda row: fake_quantize(row, bits), in_dims=inner, out_dims=inner)
    close(vmap(once, in_dims=outer, out_dims=outer)(x), rounded_runs(x, bits))


@BITS
def test_nested_vmap_from_the_inside_out(bits: int) -> None:
    x = nested()
    # The outer map takes dimension 2, the inner one dimension 0 of what is left.
    once = vmap(lambda row: fake_quantize(row, bits), in_dims=0, out_dims=0)
    close(vmap(once, in_dims=2, out_dims=2)(x), rounded_runs(x, bits))


@BITS
def test_three_nested_vmaps_leave_one_number_a_run(bits: int) -> None:
    x = nested()[0, 0]

    def lone(value: Tensor) -> Tensor:
        return fake_quantize(value, bits)

    # A single number rounds to the largest code, with its sign.
    expected = torch.stack([torch.stack([lone(v) for v in row]) for row in x])
    close(vmap(vmap(lone), in_dims=1, out_dims=1)(x), expected)
    deep = vmap(vmap(vmap(lone, in_dims=0), in_dims=1, out_dims=1), in_dims=2, out_dims=2)
    close(deep(x[None].movedim(0, 2)[:, :, :]), expected[..., None])


def run_loss(row: Tensor, bits: int) -> Tensor:
    """A nonlinear scalar of one run (3, 5) that rounds twice."""
    hidden = torch.tanh(fake_quantize(row, bits)).sum(0)
    return (fake_quantize(hidden, bits) ** 2 * (1.0 + hidden)).sum()


def looped_run_gradients(x: Tensor, bits: int) -> Tensor:
    def alone(row: Tensor) -> Tensor:
        row = row.clone().requires_grad_()
        return torch.autograd.grad(run_loss(row, bits), row)[0]

    return torch.stack(
        [torch.stack([alone(x[i, :, j]) for j in range(4)], dim=1) for i in range(2)]
    )


@BITS
def test_nested_vmap_of_grad_along_other_dimensions(bits: int) -> None:
    x = nested()
    one = grad(lambda row: run_loss(row, bits))
    actual = vmap(vmap(one, in_dims=1, out_dims=1))(x)
    assert actual.dtype == torch.float64
    close(actual, looped_run_gradients(x, bits))


@BITS
def test_grad_of_nested_vmap_along_other_dimensions(bits: int) -> None:
    x = nested()
    once = vmap(lambda row: run_loss(row, bits), in_dims=1)
    close(grad(lambda all_: vmap(once)(all_).sum())(x), looped_run_gradients(x, bits))


@BITS
def test_vmap_of_grad_of_vmap(bits: int) -> None:
    x = nested()
    once = grad(lambda part: vmap(lambda row: run_loss(row, bits), in_dims=1)(part).sum())
    close(vmap(once)(x), looped_run_gradients(x, bits))


@BITS
def test_autograd_reaches_through_vmap(bits: int) -> None:
    x = nested().requires_grad_()
    vmap(vmap(lambda row: run_loss(row, bits), in_dims=1))(x).sum().backward()
    assert x.grad is not None
    close(x.grad, looped_run_gradients(x.detach(), bits))


@BITS
def test_a_tensor_that_is_not_mapped_keeps_one_scale(bits: int) -> None:
    shared = torch.tensor([4.0, 1.0, 0.1], dtype=torch.float64)
    runs = torch.tensor([1.0, 2.0], dtype=torch.float64)
    actual = vmap(lambda run: run * fake_quantize(shared, bits))(runs)
    close(actual, runs[:, None] * fake_quantize(shared, bits))


@BITS
def test_rounding_under_vmap_leaves_its_input_alone(bits: int) -> None:
    x = nested()
    before = x.clone()
    vmap(lambda row: fake_quantize(row, bits), in_dims=2)(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize("bits", [3, 0, 8])
def test_other_widths_are_refused(bits: int) -> None:
    text = rf"bits is {bits}; expected 4 or 2, or 32 for no rounding\."
    with pytest.raises(ValueError, match=text):
        fake_quantize(torch.zeros(2), bits)
    with pytest.raises(ValueError, match=text):
        levels(torch.zeros(2), bits)


def test_32_bits_have_no_codes() -> None:
    with pytest.raises(ValueError, match="bits is 32; expected 4 or 2"):
        levels(torch.zeros(2), 32)
