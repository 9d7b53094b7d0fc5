"""All evaluators give the losses of the plain module, to rounding, whatever the layers and cuts."""

import copy

import pytest
import torch
from torch import nn

from demo_models import networks
from demo_models.scenario import NetworkSpec
from probes import Objective, random_plane
from probes.evaluators import layered
from probes.evaluators.criteria import CrossEntropy, is_cross_entropy, stacked_criterion
from probes.evaluators.general import looped_losses, mapped_losses

cross_entropy = nn.functional.cross_entropy


def mlp(*layers):
    return lambda: nn.Sequential(*(make() for make in layers))


def linear(*sizes, bias=True):
    return lambda: nn.Linear(*sizes, bias=bias)


def convolution(*sizes, **options):
    return lambda: nn.Conv2d(*sizes, **options)


# name: (shape of a sample, how it is built)
NETS = {
    "one layer": ((5,), mlp(linear(5, 3))),
    "no bias": ((5,), mlp(linear(5, 8, bias=False), nn.ReLU, linear(8, 3, bias=False))),
    "tanh, gelu, relu": (
        (5,),
        mlp(linear(5, 8), nn.Tanh, linear(8, 9), nn.GELU, linear(9, 7), nn.ReLU, linear(7, 3)),
    ),
    "approximate gelu": ((5,), mlp(linear(5, 8), lambda: nn.GELU("tanh"), linear(8, 3))),
    "functions in a row, before and after": (
        (5,),
        mlp(nn.Tanh, linear(5, 8), nn.ReLU, nn.Identity, nn.GELU, linear(8, 3), nn.Tanh),
    ),
    "nested, dropout off": (
        (5,),
        mlp(mlp(linear(5, 8), nn.ReLU), lambda: nn.Dropout(0.5).eval(), mlp(linear(8, 3))),
    ),
    "flat images": ((1, 4, 5), mlp(nn.Flatten, linear(20, 8), nn.ReLU, linear(8, 3))),
    "in place": ((5,), mlp(linear(5, 4), lambda: nn.ReLU(inplace=True), linear(4, 3))),
    "cnn": (
        (1, 8, 8),
        mlp(
            convolution(1, 4, 3, padding=1),
            nn.ReLU,
            convolution(4, 6, 3, padding=1),
            nn.ReLU,
            lambda: nn.MaxPool2d(2),
            nn.Flatten,
            linear(96, 3),
        ),
    ),
    "cnn, odd sizes": (
        (3, 9, 7),
        mlp(
            convolution(3, 4, (3, 2), stride=(2, 1), padding=(1, 0), bias=False),
            lambda: nn.MaxPool2d(2),  # leaves the last row out
            nn.Tanh,
            convolution(4, 6, 2, dilation=1, groups=2),
            nn.GELU,
            nn.Flatten,
            linear(12, 5),
            nn.ReLU,
            linear(5, 3),
        ),
    ),
    "cnn, overlapping pools": (
        (1, 8, 8),
        mlp(
            convolution(1, 4, 3, padding="same"),
            nn.GELU,
            lambda: nn.MaxPool2d(3, stride=2, padding=1),
            convolution(4, 5, 3, dilation=2, padding=2),
            nn.ReLU,
            lambda: nn.MaxPool2d(3, ceil_mode=True),
            nn.Flatten,
            linear(20, 3),
        ),
    ),
    "cnn, grouped first": (
        (4, 5, 5),
        mlp(convolution(4, 4, 3, groups=2), nn.ReLU, nn.Flatten, linear(36, 3)),
    ),
}
for bits in (32, 4, 2):
    for act in ("relu", "gelu", "tanh"):
        spec = NetworkSpec("mlp", (8, 6), act, bits, bits)
        NETS[f"mlp, {bits} bits, {act}"] = ((5,), lambda spec=spec: networks.build(spec, 5, 3, 0))
    spec = NetworkSpec("cnn", (4, 6), "relu", bits, bits)
    NETS[f"cnn, {bits} bits"] = ((64,), lambda spec=spec: networks.build(spec, 64, 3, 0))
NETS["weights at 2 bits alone"] = (
    (5,),
    lambda: networks.build(NetworkSpec("mlp", (8,), "relu", 2, 32), 5, 3, 0),
)


def made(name, dtype=torch.float64, samples=33, loss_fn=cross_entropy):
    shape, build = NETS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        module = build()
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(samples, *shape, generator=generator, dtype=torch.float64)
    targets = torch.randint(0, 3, (samples,), generator=generator)
    return Objective.from_module(module, loss_fn, (inputs, targets), dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", NETS)
def test_all_evaluators_agree(name, dtype, around):
    objective = made(name, dtype)
    points = around(objective, 11)
    assert objective.evaluator == "layered"
    # 1e-5 relative is what is promised; a jump beside a point would show as far more.
    rtol = 1e-12 if dtype == torch.float64 else 1e-5
    losses = objective.losses(points)
    torch.testing.assert_close(losses, looped_losses(objective.loss, points), rtol=rtol, atol=0)
    torch.testing.assert_close(losses, mapped_losses(objective.loss, points), rtol=rtol, atol=0)
    plane = random_plane(objective, objective.theta, normalize="none", seed=1)
    pairs = torch.stack((torch.linspace(-0.3, 0.4, 7), torch.linspace(0.2, -0.5, 7)), dim=1)
    on_plane = objective.spanned(plane.origin, plane.axes)(pairs)
    there = plane.origin + pairs.to(plane.axes) @ plane.axes
    torch.testing.assert_close(on_plane, looped_losses(objective.loss, there), rtol=rtol, atol=0)


@pytest.mark.parametrize("cache", [1, 2000, 5000, 10**9])
@pytest.mark.parametrize("name", ["tanh, gelu, relu", "mlp, 2 bits, relu", "cnn", "cnn, 4 bits"])
def test_cuts_do_not_change_the_losses(name, cache, around, monkeypatch):
    expected = made(name).losses(around(made(name), 23))
    monkeypatch.setattr(layered, "CACHE_BYTES", cache)
    objective = made(name)
    points = around(objective, 23)
    tiles = len(objective._by_layers()._tiles)
    # A scale over the whole batch needs it whole.
    assert (tiles > 1) == (cache < 10**9 and "bits" not in name)
    torch.testing.assert_close(objective.losses(points), expected, rtol=1e-12, atol=0)
    losses_at = objective.spanned(points[0], points[1:3] - points[0])
    ends = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    torch.testing.assert_close(losses_at(ends), expected[:3], rtol=1e-12, atol=0)


def test_the_memory_budget_bounds_points_and_products(around):
    objective = made("tanh, gelu, relu")
    small = made("tanh, gelu, relu")
    small.memory_bytes, small._layered = 20_000, None
    assert small._chunk(backward=False) < objective._chunk(backward=False)
    plain = small._by_layers()
    assert plain.spanned(objective.theta, around(objective, 2)) is None  # 6.3 kB of products
    points = around(objective, 9)
    torch.testing.assert_close(small.losses(points), objective.losses(points), rtol=1e-12, atol=0)
    images = made("cnn")
    images.memory_bytes, images._layered = 60_000, None
    roomy = made("cnn")
    names = [type(o._by_layers()._stages[0]).__name__ for o in (images, roomy)]
    assert names == ["Convolution", "Patches"]
    points = around(roomy, 3)
    torch.testing.assert_close(images.losses(points), roomy.losses(points), rtol=1e-12, atol=0)


def test_out_of_memory_halves_the_chunk_and_goes_on(around):
    objective = made("no bias")
    points = around(objective, 20)
    expected = objective.losses(points)
    inner, sizes = objective._by_layers(), []
    original = inner.losses

    def tight(part):
        sizes.append(len(part))
        if len(part) > 6:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 8 GB")
        return original(part)

    inner.losses = tight
    torch.testing.assert_close(objective.losses(points), expected, rtol=1e-12, atol=0)
    assert sizes == [20, 10, 5, 5, 5, 5]


def test_buffers_are_not_shared_between_copies_nor_batches(around):
    objective = made("cnn, 2 bits")
    points = around(objective, 5)
    first = objective.losses(points)
    kept = first.clone()
    other = objective.copy()
    inputs, targets = objective.batch
    fewer = objective.with_batch((inputs[:7], targets[:7]))
    fewer.losses(points)
    other.losses(points.flip(0))
    assert torch.equal(first, kept)
    own = {b.data_ptr() for b in objective._by_layers()._kept.values()}
    assert own
    assert own.isdisjoint(b.data_ptr() for b in other._by_layers()._kept.values())
    torch.testing.assert_close(fewer.losses(points), looped_losses(fewer.loss, points))


def error(output, target):
    return (output.argmax(-1) != target).to(output.dtype).mean()


def first_output(output, _):
    return output[0, 0]


def squared(output, target):
    return (output - target[:, None]).square().mean()


@pytest.mark.parametrize("loss_fn", [error, first_output, squared, nn.CrossEntropyLoss()])
def test_any_loss_of_the_caller(loss_fn, around, monkeypatch):
    monkeypatch.setattr(layered, "CACHE_BYTES", 10_000)  # several calls share the buffers
    objective = made("tanh, gelu, relu", loss_fn=loss_fn)
    assert objective.evaluator == "layered"
    points = around(objective, 40)
    expected = looped_losses(objective.loss, points)
    torch.testing.assert_close(objective.losses(points), expected, rtol=1e-12, atol=0)


def test_cross_entropy_is_recognised_by_what_it_calls():
    output, targets = torch.randn(4, 3, generator=torch.Generator()), torch.tensor([0, 1, 2, 0])
    plain = [
        cross_entropy,
        nn.CrossEntropyLoss(),
        lambda o, t: cross_entropy(target=t, input=o),
    ]
    others = [
        nn.CrossEntropyLoss(label_smoothing=0.1),
        nn.CrossEntropyLoss(weight=torch.ones(3)),
        nn.CrossEntropyLoss(reduction="sum"),
        nn.CrossEntropyLoss(ignore_index=1),
        lambda o, t: cross_entropy(o, t.flip(0)),
        lambda o, t: cross_entropy(o, t) + 1.0,
        lambda o, t: cross_entropy(o, t) if o.sum() < 1e9 else o.sum(),
        squared,
    ]
    assert all(is_cross_entropy(f, output, targets) for f in plain)
    assert not any(is_cross_entropy(f, output, targets) for f in others)
    assert isinstance(stacked_criterion(cross_entropy, output, targets), CrossEntropy)
    ignored = torch.tensor([0, -100, 2, 0])
    spread = torch.full((4, 3), 1.0 / 3.0)
    for odd in (ignored, spread):
        criterion = stacked_criterion(cross_entropy, output, odd)
        assert not isinstance(criterion, CrossEntropy)
        torch.testing.assert_close(criterion(output.T[None])[0], cross_entropy(output, odd))


def test_cross_entropy_of_huge_logits_does_not_overflow():
    output = torch.tensor([[1e4, 0.0, -1e4], [0.0, 5e3, 0.0]], dtype=torch.float64)
    targets = torch.tensor([1, 1])
    made = CrossEntropy(targets)(output.T[None].clone())
    assert made.item() == pytest.approx(5e3)  # (1e4 + 0) / 2


def test_a_small_cross_entropy_keeps_its_digits_in_float32():
    generator = torch.Generator().manual_seed(4)
    targets = torch.randint(0, 10, (500,), generator=generator)
    output = torch.randn(500, 10, generator=generator) + 50.0
    output[torch.arange(500), targets] += 9.0
    exact = cross_entropy(output.double(), targets)
    made = CrossEntropy(targets)(output.T[None].clone())[0]
    assert exact < 0.01
    torch.testing.assert_close(made.double(), exact, rtol=1e-5, atol=0)


class Rescaled(nn.Linear):
    def forward(self, x):
        return 2.0 * super().forward(x)


class Inherits(networks.QuantLinear):
    """Overrides forward, so the method that it inherits no longer describes it."""

    def forward(self, x):
        return super().forward(x) + 1.0


def hooked():
    layer = nn.Linear(5, 3)
    layer.register_forward_hook(lambda *_: None)
    return layer


def half_frozen():
    layer = nn.Linear(5, 3)
    layer.bias.requires_grad_(False)
    return nn.Sequential(nn.Linear(5, 5), layer)


class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(5, 3)

    def forward(self, x):
        return self.inner(x) * 2.0


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (nn.Sequential(Rescaled(5, 3)), "Rescaled changes its weights and has no stacked_weight"),
        (Inherits(5, 3, 2), "Inherits changes its weights and has no stacked_weight"),
        (hooked(), "a Linear has a hook"),
        (half_frozen(), "a Linear has parameters that are not trained"),
        (Wrapped(), "Wrapped is no layer that it knows"),
        (nn.Sequential(nn.Linear(5, 3), nn.LayerNorm(3)), "LayerNorm is no layer that it knows"),
        (nn.Sequential(nn.Softplus(), nn.Linear(5, 3)), "Softplus is no layer that it knows"),
        (
            nn.Sequential(nn.Linear(5, 4), nn.Unflatten(1, (2, 2)), nn.Flatten(), nn.Linear(4, 3)),
            "Unflatten is no layer that it knows",
        ),
        (
            nn.Sequential(
                nn.Unflatten(1, (1, 1, 5)), nn.Conv2d(1, 3, (1, 5), padding_mode="reflect"),
                nn.Flatten(),
            ),
            r"a Conv2d has inputs of shape \(1, 1, 5\) a sample",
        ),
        (
            nn.Sequential(nn.Unflatten(1, (1, 1, 5)), nn.Conv2d(1, 3, (1, 5)), nn.Flatten()),
            "the last layer with weights is no Linear",
        ),
    ],
)  # fmt: skip
def test_what_is_refused_falls_back_to_vmap_and_says_why(module, reason, batch, around):
    module = copy.deepcopy(module).double()
    objective = Objective.from_module(module, cross_entropy, batch)
    assert objective.evaluator == "vmap"
    assert objective.why.startswith("Layer by layer is not possible: ")
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(objective.why)
    points = around(objective, 4)
    torch.testing.assert_close(objective.losses(points), looped_losses(objective.loss, points))


def test_a_tied_weight_is_read_from_its_one_place(batch, around):
    module = nn.Sequential(nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 5)).double()
    module[2].weight = module[0].weight
    objective = Objective.from_module(module, cross_entropy, batch)
    assert objective.evaluator == "layered"
    points = around(objective, 4)
    torch.testing.assert_close(
        objective.losses(points), looped_losses(objective.loss, points), rtol=1e-12, atol=0
    )
