"""The traps that threads, running statistics and random masks set for a probe."""

import copy
import threading

import pytest
import torch
from torch import nn

from probes import Objective, instability, loss_slice, random_plane

cross_entropy = nn.functional.cross_entropy


def normalised(training=True):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)).double()
    net.train(training)
    net[1].running_mean.fill_(0.5)
    return net


def test_two_threads_with_a_copy_each_get_the_right_values(objective, around):
    points = around(objective, 40)
    expected = objective.losses(points)
    wrong = []

    def work(own):
        for _ in range(60):
            for start in range(0, 40, 8):
                part = own.losses(points[start : start + 8])
                if not torch.allclose(part, expected[start : start + 8], rtol=1e-12, atol=0.0):
                    wrong.append(start)

    threads = [threading.Thread(target=work, args=(o,)) for o in (objective, objective.copy())]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_copy_has_a_module_and_parameters_of_its_own(objective):
    other = objective.copy()
    expected = objective.losses(objective.theta[None])
    own = set(map(id, objective._source.module.modules()))
    assert own.isdisjoint(map(id, other._source.module.modules()))
    other.theta.zero_()
    assert torch.equal(objective.losses(objective.theta[None]), expected)
    assert other.batch is not None
    assert other.batch[0] is objective.batch[0]


def test_training_batch_norm_uses_the_batch_and_writes_nothing(batch, around):
    module = normalised()
    expected = cross_entropy(copy.deepcopy(module)(batch[0]), batch[1]).detach()
    before = copy.deepcopy(module.state_dict())
    objective = Objective.from_module(module, cross_entropy, batch)
    kept = copy.deepcopy(objective._source.module.state_dict())
    torch.testing.assert_close(objective.losses(objective.theta[None])[0], expected)
    points = around(objective, 6)
    losses, _ = objective.losses_and_gradients(points)
    torch.testing.assert_close(losses, torch.stack([objective.loss(p) for p in points]))
    instability(objective, objective.theta, k=3)
    loss_slice(objective, random_plane(objective, objective.theta, seed=0), 3)
    assert objective.evaluator == "vmap"
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name
    for name, value in objective._source.module.state_dict().items():
        assert torch.equal(value, kept[name]), name


def test_evaluating_batch_norm_uses_its_running_statistics(batch):
    module = normalised(training=False)
    objective = Objective.from_module(module, cross_entropy, batch)
    expected = cross_entropy(module(batch[0]), batch[1]).detach()
    torch.testing.assert_close(objective.losses(objective.theta[None])[0], expected)


class Counting(nn.Linear):
    """Counts its calls in a buffer, as a layer with statistics of its own would."""

    def __init__(self):
        super().__init__(5, 3)
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("level", torch.zeros(()))

    def forward(self, x):
        self.calls.add_(1.0)
        self.level.copy_(self.weight.abs().max())  # refused by vmap: one level for all points
        return super().forward(x) * self.calls


def test_a_layer_that_writes_its_buffers_is_evaluated_as_if_it_never_had(batch):
    module = Counting().double()
    with pytest.warns(UserWarning, match="one by one"):
        objective = Objective.from_module(module, cross_entropy, batch)
    losses = objective.losses(objective.theta.expand(4, -1))
    assert losses.unique().numel() == 1
    assert module.calls == 0.0
    assert objective._source.module.calls == 0.0


def dropping(p=0.5):
    torch.manual_seed(0)
    body = [nn.Linear(5, 40), nn.Dropout(p), nn.Linear(40, 40), nn.Dropout(p), nn.Linear(40, 3)]
    return nn.Sequential(*body).double()


def test_dropout_keeps_one_mask_for_all_probes(batch):
    objective = Objective.from_module(dropping(), cross_entropy, batch)
    same = objective.theta.expand(5, -1)
    losses = objective.losses(same)
    assert objective.evaluator == "vmap"
    assert losses.unique().numel() == 1
    torch.testing.assert_close(losses[0], objective.copy().loss(objective.theta))
    # A smooth net on one mask is smooth: opposite probes cancel.
    assert instability(objective, objective.theta, sigma=1e-4).asymmetry < 1e-2


def test_dropout_drops_its_share_and_keeps_the_mean(batch):
    wide = nn.Sequential(nn.Dropout(0.25), nn.Linear(2000, 1, bias=False)).double()
    nn.init.ones_(wide[1].weight)
    inputs = torch.ones(50, 2000, dtype=torch.float64)
    objective = Objective.from_module(wide, lambda out, _: out.mean(), (inputs, batch[1]))
    assert objective.loss(objective.theta).item() == pytest.approx(2000.0, rel=0.01)
    layers = [m for m in objective._source.module.modules() if hasattr(m, "index")]
    mask = torch.as_tensor(layers[0]._mask)
    assert set(mask.unique().tolist()) == {0.0, 1.0 / 0.75}


def test_two_dropout_layers_have_different_masks(batch):
    objective = Objective.from_module(dropping(), cross_entropy, batch)
    objective.loss(objective.theta)
    masks = [m._mask for m in objective._source.module.modules() if hasattr(m, "index")]
    assert len(masks) == 2
    assert (masks[0] != masks[1]).any()


def test_dropout_of_everything_leaves_only_biases(batch):
    objective = Objective.from_module(dropping(1.0), cross_entropy, batch)
    assert objective.loss(objective.theta).isfinite()


def test_evaluating_dropout_drops_nothing(batch):
    module = dropping().eval()
    objective = Objective.from_module(module, cross_entropy, batch)
    expected = cross_entropy(module(batch[0]), batch[1]).detach()
    torch.testing.assert_close(objective.loss(objective.theta), expected)


class Redrawing(nn.Linear):
    def forward(self, x):
        return nn.functional.dropout(super().forward(x), 0.5, training=self.training)


def test_a_mask_redrawn_in_the_forward_pass_is_refused(batch):
    with pytest.raises(ValueError, match="the module draws at random"):
        Objective.from_module(Redrawing(5, 3).double(), cross_entropy, batch)


def test_the_global_generator_is_never_touched(batch):
    module = dropping()
    before = torch.get_rng_state()
    objective = Objective.from_module(module, cross_entropy, batch)
    instability(objective, objective.theta, seed=5)
    random_plane(objective, objective.theta, seed=5)
    assert torch.equal(torch.get_rng_state(), before)
