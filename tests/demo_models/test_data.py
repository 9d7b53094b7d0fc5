"""Data sets: fixed disjoint splits, ranges, and the exact share of wrong labels."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from demo_models.data import DATA_SETS, digits, spirals, two_moons, with_label_noise

ALL = pytest.mark.parametrize("name", DATA_SETS)


def test_digits_are_all_there_once_and_scaled_to_1() -> None:
    data = digits()
    assert (len(data.train[1]), len(data.test[1]), data.classes) == (1437, 360, 10)
    inputs = torch.cat((data.train[0], data.test[0]))
    labels = torch.cat((data.train[1], data.test[1]))
    assert (inputs.min().item(), inputs.max().item()) == (0.0, 1.0)
    rows = np.column_stack((inputs.numpy() * 16, labels.numpy()))
    images, targets = load_digits(return_X_y=True)
    expected = np.column_stack((images, targets))
    # All 1797 images, each as often as in the source: so no image is on both sides.
    assert np.array_equal(np.unique(rows, axis=0), np.unique(expected, axis=0))
    assert len(np.unique(expected, axis=0)) == len(rows) == 1797


def test_the_split_of_digits_is_pinned() -> None:
    data = digits()
    assert data.train[1][:10].tolist() == [4, 4, 0, 8, 0, 0, 3, 1, 1, 4]
    assert data.test[1][:10].tolist() == [7, 6, 4, 3, 8, 3, 3, 2, 2, 8]


@ALL
def test_types_and_classes(name: str) -> None:
    data = DATA_SETS[name]()
    for inputs, labels in (data.train, data.test):
        assert (inputs.dtype, labels.dtype) == (torch.float32, torch.int64)
        assert inputs.dim() == 2
        assert len(inputs) == len(labels)
        assert labels.unique().tolist() == list(range(data.classes))
        assert bool(inputs.isfinite().all())


@ALL
def test_splits_are_fixed_and_disjoint(name: str) -> None:
    data, again = DATA_SETS[name](), DATA_SETS[name].__wrapped__()  # type: ignore[attr-defined]
    for side in ("train", "test"):
        for tensor, other in zip(getattr(data, side), getattr(again, side), strict=True):
            assert torch.equal(tensor, other)
    inputs = torch.cat((data.train[0], data.test[0]))
    assert len(inputs.unique(dim=0)) == len(inputs)


@ALL
def test_a_data_set_is_loaded_once(name: str) -> None:
    assert DATA_SETS[name]() is DATA_SETS[name]()


@pytest.mark.parametrize("load", [two_moons, spirals])
def test_toys_have_1000_samples_of_two_features(load) -> None:
    data = load()
    assert data.train[0].shape == (800, 2)
    assert data.test[0].shape == (200, 2)


def test_spirals_wind_by_one_and_a_half_turns() -> None:
    inputs, labels = spirals().train
    radius = torch.linspace(0.0, 1.1, 4000)
    for label in (0, 1):
        # Each arm is at the angle 3 pi r, the other half a turn from it; the noise is 0.02.
        angle = 3 * torch.pi * radius + torch.pi * label
        arm = torch.stack((radius * angle.cos(), radius * angle.sin()), dim=1)
        nearest = torch.cdist(inputs[labels == label], arm).amin(1)
        assert float(nearest.max()) < 5 * 0.02


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 1.0])
def test_the_share_of_wrong_labels_is_exact(share: float) -> None:
    data = digits()
    noisy = with_label_noise(data, share, seed=0)
    wrong = noisy.train[1] != data.train[1]
    assert int(wrong.sum()) == round(share * 1437)
    assert int(noisy.train[1].min()) >= 0
    assert int(noisy.train[1].max()) <= 9
    assert noisy.test is data.test
    assert noisy.train[0] is data.train[0]


def test_wrong_labels_are_spread_over_the_other_classes() -> None:
    data = digits()
    noisy = with_label_noise(data, 1.0, seed=0)
    shift = (noisy.train[1] - data.train[1]) % 10
    counts = torch.bincount(shift, minlength=10)
    assert counts[0] == 0
    # 1437 / 9 = 160 of each shift, with a standard deviation of 12.
    assert bool((counts[1:] - 160 < 60).all())
    assert bool((160 - counts[1:] < 60).all())


def test_label_noise_depends_on_its_seed_and_spares_the_source() -> None:
    data = digits()
    before = data.train[1].clone()
    first, again = (with_label_noise(data, 0.2, seed=1) for _ in range(2))
    assert torch.equal(first.train[1], again.train[1])
    assert not torch.equal(first.train[1], with_label_noise(data, 0.2, seed=2).train[1])
    assert torch.equal(data.train[1], before)


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_outside_0_to_1_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match=rf"share is {share}; expected 0 to 1\."):
        with_label_noise(digits(), share, seed=0)
