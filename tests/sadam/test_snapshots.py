"""Snapshots: the last steps without a gap, the past in pairs, bounded memory."""

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

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


@pytest.mark.parametrize(("room", "dense"), [(8, 4), (20, 10), (100, 50), (150, 86), (999, 200)])
def test_short_memory_shortens_the_past_to_half_and_is_never_exceeded(room: int, dense: int):
    snapshots = Snapshots(limit_bytes=room * 400)
    for step in range(700):
        snapshots.append(step, torch.zeros(1, 100))
        assert snapshots.nbytes <= room * 400
    assert snapshots.steps[-dense:] == tuple(range(700 - dense, 700))
    assert snapshots.steps[:2] == (0, 1)


def test_the_default_network_needs_no_less_than_it_is_given():
    snapshots = Snapshots()
    for step in range(300):
        snapshots.append(step, torch.zeros(3, 9_098))
    assert snapshots.steps[-200:] == tuple(range(100, 300))


@settings(deadline=None)  # its longest examples take 0.2 s beside a busy neighbour
@given(
    st.integers(1, 400), st.integers(4, 60), st.integers(4, 40), st.integers(8, 120), st.integers()
)
def test_whatever_the_limits(steps: int, dense: int, thinned: int, room: int, asked: int):
    snapshots = filled(steps, dense=dense, thinned=thinned, limit_bytes=room * 24)
    held = snapshots.steps
    past = min(thinned, room // 2)
    newest = min(dense, room - past)
    assert snapshots.nbytes <= room * 24
    assert held[-newest:] == tuple(range(max(0, steps - newest), steps))
    assert len(held) <= newest + past
    assert all((snapshots.at(t) == t).all() for t in held)
    # Who is old is half of a pair whose other half is here too.
    assert all(t + 1 in held or t - 1 in held for t in held) or steps == 1
    assert abs(snapshots.nearest(asked) - asked) == min(abs(t - asked) for t in held)


def test_the_nearest_step():
    snapshots = filled(2000, dense=50, thinned=16)
    assert [snapshots.nearest(t) for t in (-5, 1, 1980, 9999)] == [0, 1, 1980, 1999]
    apart = Snapshots()
    for step in (0, 1, 5):
        apart.append(step, torch.zeros(1, 2))
    assert [apart.nearest(t) for t in (2, 3, 4)] == [1, 1, 5], "the earlier of two"


def saved(state: dict, how: str) -> dict:
    """A state after a way through a file."""
    file = io.BytesIO()
    if how == "torch":
        torch.save(state, file)
        file.seek(0)
        return torch.load(file, weights_only=True)
    np.savez(file, **state)
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.mark.parametrize("how", ["torch", "numpy"])
@pytest.mark.parametrize("steps", [0, 3, 137])
def test_restored_snapshots_go_on_as_the_first_would_have(how: str, steps: int):
    first = filled(steps, dense=20, thinned=8)
    second = Snapshots(dense=20, thinned=8)
    second.restore(saved(first.state(), how))
    for step in range(steps, steps + 200):
        assert second.steps == first.steps
        assert all(np.array_equal(second.at(t), theta) for t, theta in first.items())
        for each in (first, second):
            each.append(step, torch.full((2, 3), float(step)))
    assert not second.at(steps + 199).flags.writeable


def test_a_state_that_does_not_fit():
    state = filled(9).state()
    with pytest.raises(ValueError, match="the state is one of dense 200 and this is one of dense"):
        Snapshots(dense=50).restore(state)
    other = Snapshots()
    other.append(0, torch.zeros(2, 4))
    with pytest.raises(ValueError, match=r"snapshots have shape \(2, 3\) and those here \(2, 4\);"):
        other.restore(state)
    assert other.steps == (0,)
    with pytest.raises(ValueError, match="the state's steps do not increase from 0 on; make"):
        Snapshots().restore(state | {"steps": state["steps"].flip(0)})
    with pytest.raises(
        ValueError, match=r"thetas has shape \(9, 2, 3\) and torch.float32; expected"
    ):
        Snapshots().restore(state | {"steps": state["steps"][:4]})
    small = filled(12, limit_bytes=240)
    with pytest.raises(ValueError, match="holds 60 snapshots and there is room for 10; make"):
        small.restore(filled(60).state() | {"limit_bytes": 240})


def test_refusals_are_sentences():
    with pytest.raises(ValueError, match="takes 4,000 bytes and 31,000 are meant for all, which"):
        Snapshots(limit_bytes=31_000).append(0, torch.zeros(1, 1000))
    with pytest.raises(ValueError, match="given 200 dense and 3 thinned steps; give at least 4"):
        Snapshots(thinned=3)
    with pytest.raises(ValueError, match="no snapshot is held yet; append one before asking"):
        Snapshots().nearest(3)
    snapshots = filled(3)
    with pytest.raises(ValueError, match=r"of step 2 .* after one of step 2 .*; give later steps"):
        snapshots.append(2, torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"shape \(2, 4\) was given after .* shape \(2, 3\); give"):
        snapshots.append(3, torch.zeros(2, 4))
