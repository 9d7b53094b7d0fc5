import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import grad_and_value, vmap

from probes import Objective
from probes.layout import Entry

cross_entropy = nn.functional.cross_entropy
NOT_LAYERED = "Layer by layer is not possible: "
ROUNDED = NOT_LAYERED + "RoundedLinear changes its weights and has no stacked_weight."


def by_hand(module, objective, point, batch):
    """The loss and gradient by writing the point into a copy of the module."""
    own = copy.deepcopy(module)
    parameters = [p for p in own.parameters() if p.requires_grad]
    nn.utils.vector_to_parameters(point, parameters)
    loss = cross_entropy(own(batch[0]), batch[1])
    gradients = torch.autograd.grad(loss, parameters)
    return loss.detach(), torch.cat([g.reshape(-1) for g in gradients])


class Untraceable(nn.Linear):
    """Asks for a number in Python, which vmap refuses."""

    def forward(self, x):
        if self.weight.sum().item() > 1e9:
            raise AssertionError("never")
        return super().forward(x)


def test_layout_names_every_parameter_in_order(objective, mlp):
    assert objective.layout == (
        Entry("0.weight", (8, 5), 0, 40),
        Entry("0.bias", (8,), 40, 48),
        Entry("2.weight", (3, 8), 48, 72),
        Entry("2.bias", (3,), 72, 75),
    )
    assert objective.size == 75
    assert torch.equal(objective.theta, nn.utils.parameters_to_vector(mlp.parameters()))


@pytest.mark.parametrize(
    ("net", "evaluator", "why"),
    [
        ("mlp", "layered", ""),
        (
            "rounded",
            "vmap",
            ROUNDED,
        ),
    ],
)
def test_losses_and_gradients_equal_the_module_point_by_point(
    net, evaluator, why, request, batch, around
):
    module = request.getfixturevalue(net)
    objective = Objective.from_module(module, cross_entropy, batch)
    points = around(objective, 7)
    losses, gradients = objective.losses_and_gradients(points)
    assert objective.evaluator == evaluator
    assert objective.why == why
    assert torch.equal(objective.gradients(points), gradients)
    torch.testing.assert_close(objective.losses(points), losses, rtol=1e-12, atol=1e-12)
    for point, loss, gradient in zip(points, losses, gradients, strict=True):
        true_loss, true_gradient = by_hand(module, objective, point, batch)
        torch.testing.assert_close(loss, true_loss, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(gradient, true_gradient, rtol=1e-10, atol=1e-12)


def test_losses_see_the_rounding_and_gradients_the_surrogate(rounded, batch):
    objective = Objective.from_module(rounded, cross_entropy, batch)
    step = torch.zeros_like(objective.theta)
    step[1] = 1e-7
    pair = objective.losses(torch.stack((objective.theta - step, objective.theta + step)))
    assert pair[0] == pair[1]
    assert objective.gradients(objective.theta[None])[0, 1].abs() > 1e-4


def test_evaluators_agree_in_float32(mlp, batch, around):
    objective = Objective.from_module(mlp, cross_entropy, batch, dtype=torch.float32)
    assert objective.dtype == torch.float32
    points = around(objective, 20)
    one_by_one = torch.stack([objective.loss(point) for point in points])
    torch.testing.assert_close(objective.losses(points), one_by_one, rtol=1e-5, atol=1e-6)


def test_the_given_module_is_a_different_one(mlp, batch):
    objective = Objective.from_module(mlp, cross_entropy, batch)
    before = objective.losses(objective.theta[None])
    with torch.no_grad():
        mlp[0].weight.zero_()
    assert torch.equal(objective.losses(objective.theta[None]), before)


def test_frozen_parameters_are_not_in_theta(mlp, batch):
    mlp[0].weight.requires_grad_(False)
    objective = Objective.from_module(mlp, cross_entropy, batch)
    assert [entry.name for entry in objective.layout] == ["0.bias", "2.weight", "2.bias"]
    expected = cross_entropy(mlp(batch[0]), batch[1]).detach()
    torch.testing.assert_close(objective.losses(objective.theta[None])[0], expected)


def test_a_tied_parameter_counts_once(batch):
    module = nn.Sequential(nn.Linear(5, 5, bias=False), nn.Tanh(), nn.Linear(5, 5, bias=False))
    module.double()[2].weight = module[0].weight
    objective = Objective.from_module(module, cross_entropy, batch)
    loss, gradient = by_hand(module, objective, objective.theta, batch)
    losses, gradients = objective.losses_and_gradients(objective.theta[None])
    assert objective.size == 25
    torch.testing.assert_close(losses[0], loss)
    torch.testing.assert_close(gradients[0], gradient)


def test_loss_is_traceable_also_on_other_data(objective, batch):
    other = (batch[0][:4] + 1.0, batch[1][:4])
    points = objective.theta.expand(3, -1)
    gradients, losses = vmap(grad_and_value(lambda theta: objective.loss(theta, other)))(points)
    expected = objective.with_batch(other).losses_and_gradients(points)
    torch.testing.assert_close(losses, expected[0])
    torch.testing.assert_close(gradients, expected[1])
    assert objective.supports_vmap


def test_with_batch_leaves_the_first_objective_alone(objective, batch):
    before = objective.losses(objective.theta[None])
    other = objective.with_batch((batch[0][:4], batch[1][:4]))
    assert other.losses(objective.theta[None]) != before
    assert torch.equal(objective.losses(objective.theta[None]), before)
    assert objective.batch is not None
    assert objective.batch[0] is batch[0]  # tensors that fit are not copied


def test_a_function(bowl):
    points = torch.tensor([[3.0, 4.0], [0.0, 0.0]], dtype=torch.float64)
    losses, gradients = bowl.losses_and_gradients(points)
    assert bowl.evaluator == "function"
    assert bowl.supports_vmap
    assert bowl.batch is None
    assert bowl.layout == (Entry("theta", (2,), 0, 2),)
    assert losses.tolist() == [12.5, 0.0]
    assert gradients.tolist() == points.tolist()
    assert bowl.loss(bowl.theta).item() == 2.5


def test_a_constant_function_has_gradient_zero():
    constant = Objective.from_function(lambda x: torch.ones(len(x)), torch.zeros(3))
    assert constant.gradients(torch.ones(2, 3)).tolist() == [[0.0] * 3] * 2


def test_no_points_give_no_losses(objective):
    none = objective.theta.new_zeros(0, objective.size)
    losses, gradients = objective.losses_and_gradients(none)
    assert objective.losses(none).shape == losses.shape == (0,)
    assert gradients.shape == (0, objective.size)


def test_points_of_another_float_type_are_converted(objective):
    single = objective.losses(objective.theta.float()[None])
    assert single.dtype == torch.float64
    torch.testing.assert_close(single, objective.losses(objective.theta[None]), rtol=1e-5, atol=0)


def test_spanned_losses_are_those_of_the_points(objective, bowl, rounded, batch):
    other = Objective.from_module(rounded, cross_entropy, batch)
    for own in (objective, other, bowl):
        generator = torch.Generator().manual_seed(2)
        axes = torch.randn(3, own.size, generator=generator, dtype=torch.float64)
        coordinates = torch.randn(9, 3, generator=generator, dtype=torch.float64)
        losses_at = own.spanned(own.theta, axes)
        expected = own.losses(own.theta + coordinates @ axes)
        torch.testing.assert_close(losses_at(coordinates), expected, rtol=1e-12, atol=0)
        torch.testing.assert_close(
            losses_at(coordinates.float()), losses_at(coordinates), rtol=1e-5, atol=0
        )
        assert losses_at(coordinates[:0]).shape == (0,)
    with pytest.raises(ValueError, match=r"points have shape \(3, 5\), expected \(G, 75\)"):
        objective.spanned(objective.theta, torch.ones(3, 5))


def test_a_refusing_module_is_looped_over_with_one_warning(batch, around):
    module = nn.Sequential(Untraceable(5, 3)).double()
    with pytest.warns(UserWarning, match="Points are evaluated one by one") as caught:
        objective = Objective.from_module(module, cross_entropy, batch)
    points = around(objective, 5)
    losses, gradients = objective.losses_and_gradients(points)
    objective.losses(points)
    objective.copy().losses(points)
    assert len(caught) == 1
    assert objective.evaluator == "loop"
    assert not objective.supports_vmap
    assert objective.why.startswith("torch.func.vmap does not take this objective: ")
    for point, loss, gradient in zip(points, losses, gradients, strict=True):
        true_loss, true_gradient = by_hand(module, objective, point, batch)
        torch.testing.assert_close(loss, true_loss)
        torch.testing.assert_close(gradient, true_gradient)


def test_wide_activations_are_looped_over_without_a_warning(mlp, around):
    mlp = nn.Sequential(mlp, nn.Softplus()).double()  # a layer that only vmap and the loop know
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(30_000, 5, generator=generator, dtype=torch.float64)
    targets = torch.randint(0, 3, (30_000,), generator=generator)
    objective = Objective.from_module(mlp, cross_entropy, (inputs, targets))
    assert objective.evaluator == "loop"
    assert objective.supports_vmap
    assert objective.why == (
        f"{NOT_LAYERED}Softplus is no layer that it knows. A tensor of 1.92 MB a point leaves vmap"
        " no gain over a loop on a CPU."
    )
    points = around(objective, 3)
    expected = vmap(grad_and_value(objective.loss))(points)
    losses, gradients = objective.losses_and_gradients(points)
    torch.testing.assert_close(losses, expected[1])
    torch.testing.assert_close(gradients, expected[0])
    torch.testing.assert_close(objective.losses(points), expected[1])
    assert objective.with_batch((inputs[:12], targets[:12])).evaluator == "vmap"


@pytest.mark.parametrize(
    ("broken", "kind", "text"),
    [
        (lambda o: o.losses(o.theta), ValueError, r"points have shape \(75,\), expected \(G, 75\)"),
        (lambda o: o.losses(o.theta), ValueError, r"Pass theta\[None\] for a single point"),
        (lambda o: o.losses(torch.ones(4, 3)), ValueError, r"shape \(4, 3\), expected \(G, 75\)"),
        (lambda o: o.losses(torch.ones(4, 75, dtype=torch.int64)), TypeError, "a torch.int64 tens"),
        (lambda o: o.gradients(np.ones((4, 75))), TypeError, "points are of type ndarray"),
        (lambda o: o.with_batch(None), TypeError, r"batch is of type NoneType, expected a pair"),
        (lambda o: o.with_batch((o.theta, 3)), TypeError, "targets are of type int, expected a t"),
    ],
)
def test_bad_points_and_batches(objective, broken, kind, text):
    with pytest.raises(kind, match=text):
        broken(objective)


def test_bad_modules_and_losses(mlp, batch):
    with pytest.raises(ValueError, match="GELU has no parameter with requires_grad"):
        Objective.from_module(nn.GELU(), cross_entropy, batch)
    with pytest.raises(
        ValueError, match=r"The loss has shape \(12,\), expected \(\): loss_fn must"
    ):
        Objective.from_module(mlp, lambda o, y: cross_entropy(o, y, reduction="none"), batch)
    with pytest.raises(TypeError, match="The loss is of type float, expected a floating-point"):
        Objective.from_module(mlp, lambda o, y: cross_entropy(o, y).item(), batch)
    mlp[0].float()
    with pytest.raises(ValueError, match="expected one floating-point dtype on one device"):
        Objective.from_module(mlp, cross_entropy, batch)
    mixed = Objective.from_module(mlp, cross_entropy, batch, dtype=torch.float32)
    assert mixed.losses(mixed.theta[None]).dtype == torch.float32


def test_a_module_that_cannot_be_copied(batch):
    module = nn.Linear(5, 3).double()
    module.cached = module.weight * 2.0
    with pytest.raises(ValueError, match="Linear cannot be deep-copied"):
        Objective.from_module(module, cross_entropy, batch)


def test_bad_functions(bowl, batch):
    with pytest.raises(ValueError, match=r"The loss has shape \(\), expected \(2,\): f must map"):
        Objective.from_function(lambda x: x.sum(), torch.ones(3))
    with pytest.raises(TypeError, match=r"theta is a torch.int64 tensor"):
        Objective.from_function(lambda x: x.sum(1), torch.ones(3, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"theta has shape \(1, 3\), expected \(P,\)"):
        Objective.from_function(lambda x: x.sum(1), torch.ones(1, 3))
    with pytest.raises(ValueError, match="A function has no batch: with_batch needs"):
        bowl.with_batch(batch)
    with pytest.raises(ValueError, match="A function has no batch, but one was given"):
        bowl.loss(bowl.theta, batch)


def test_a_function_that_vmap_refuses_says_why_and_still_works():
    def branching(points):
        return points.sum(dim=1) * (2.0 if points[0, 0].item() > 0.0 else 3.0)

    objective = Objective.from_function(branching, torch.ones(2))
    assert not objective.supports_vmap
    assert "vmap" in objective.why
    assert objective.losses(torch.ones(3, 2)).tolist() == [4.0] * 3
    assert objective.gradients(torch.ones(3, 2)).tolist() == [[2.0, 2.0]] * 3
