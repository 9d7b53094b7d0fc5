"""Snapshots: the last steps without a gap, the past in pairs, bounded memory."""

import numpy as np
import pytest
import torch

from sadam.snapshots import Snapshots


def filled(steps: int, **limits: int) -> Snapshots:
    snapshots = Snapshots(**limits)
    for step in range(steps):
        snapshots.append(step, torch.full((2, 3), float(step), dtype=torch.float64))
    return snapshots


@pytest.mark.parametrize("steps", [5, 60, 333, 2000])
def test_the_newest_are_dense_and_the_past_is_bounded(steps: int):
    held = filled(steps, dense=50, thinned=16).steps
    newest = min(steps, 50)
    assert held[-newest:] == tuple(range(steps - newest, steps))
    assert len(held) <= 50 + 16
    assert held[:2] == (0, 1)


def test_the_past_is_kept_in_pairs_at_an_even_stride():
    held = filled(2000, dense=50, thinned=16).steps
    old = [step for step in held if step < 1950]
    starts = old[::2]
    assert [step + 1 for step in starts] == old[1::2] or len(old) % 2
    assert len(set(np.diff(starts))) == 1


def test_arrays_are_the_parameters_and_cannot_be_written():
    snapshots = filled(9)
    assert snapshots.at(7).dtype == np.float32
    assert (snapshots.at(7) == 7).all()
    assert snapshots.at(99) is None
    assert [step for step, _ in snapshots.items()] == list(range(9))
    assert snapshots.items()[7][1] is snapshots.at(7), "not copied"
    with pytest.raises(ValueError, match="read-only"):
        snapshots.at(7)[:] = 0


def test_a_snapshot_does_not_follow_the_tensor_it_was_taken_from():
    theta = torch.zeros(1, 2)
    snapshots = Snapshots()
    snapshots.append(0, theta)
    theta += 1
    assert (snapshots.at(0) == 0).all()


def test_short_memory_shortens_the_dense_part_and_is_never_exceeded():
    snapshots = Snapshots(limit_bytes=100 * 4_000)
    for step in range(500):
        snapshots.append(step, torch.zeros(1, 1000))
    assert snapshots.nbytes <= 100 * 4_000
    assert snapshots.steps[-36:] == tuple(range(464, 500))


def test_a_snapshot_too_large_is_a_sentence():
    with pytest.raises(ValueError, match="takes 4,000 bytes and 100,000 are meant for all; show"):
        Snapshots(limit_bytes=100_000).append(0, torch.zeros(1, 1000))
