"""The history: dense where it is new, thinned where it is old, bounded always."""

import numpy as np
import pytest
import torch

from sadam import History, Record
from tests.sadam.test_snapshots import saved


def record(step: int, runs: int = 2, j: int = 3) -> Record:
    value = torch.full((runs,), float(step))
    wide = torch.full((runs, j), float(step))
    return Record(step, *([value] * 13), wide, wide)


def filled(steps: int, capacity: int) -> History:
    history = History(capacity)
    for step in range(steps):
        history.append(record(step))
    return history


def test_columns_follow_the_steps():
    history = filled(5, 16)
    assert history.steps.tolist() == [0, 1, 2, 3, 4]
    assert history.column("loss").tolist() == [[t, t] for t in range(5)]
    assert history.column("update_projection").shape == (5, 2, 3)
    assert len(history) == 5


@pytest.mark.parametrize("capacity", [4, 5, 16, 31])
@pytest.mark.parametrize("steps", [3, 17, 100, 1000])
def test_the_newest_half_is_dense_and_the_first_step_is_kept(capacity: int, steps: int):
    kept = filled(steps, capacity).steps
    assert len(kept) <= capacity
    newest = min(steps, capacity // 2)
    assert kept[-newest:].tolist() == list(range(steps - newest, steps))
    assert kept[0] == 0
    assert (np.diff(kept) > 0).all()


@pytest.mark.parametrize("steps", [200, 1000, 5000])
def test_the_past_keeps_its_whole_span_evenly(steps: int):
    gaps = np.diff(filled(steps, 64).steps)
    stride = gaps[0]
    assert 1 < stride <= 4 * steps / 32  # 32 rows for the past, at least a quarter of them in use
    # One stride throughout the past, one joint, and every step from there on.
    assert set(gaps[gaps > 1][:-1]) == {stride}
    assert gaps[-31:].tolist() == [1] * 31


def test_values_stay_with_their_steps_through_thinning():
    history = filled(500, 16)
    assert history.column("damping")[:, 0].tolist() == history.steps.tolist()


def test_memory_does_not_grow():
    history = filled(10, 32)
    before = history.nbytes
    for step in range(10, 500):
        history.append(record(step))
    assert history.nbytes == before > 0


def test_a_window_is_dense_or_shorter():
    history = filled(100, 16)
    window = history.window(6)
    assert window["step"].tolist() == list(range(94, 100))
    assert window["lgi"].shape == (6, 2)
    longest = history.window(99)["step"]
    assert np.diff(longest).tolist() == [1] * (len(longest) - 1)
    assert 8 <= len(longest) <= 16
    assert filled(3, 16).window(10)["step"].tolist() == [0, 1, 2]
    assert filled(3, 16).window(0)["step"].tolist() == []


def test_what_is_handed_out_is_a_copy():
    history = filled(5, 16)
    for taken in (history.column("loss"), history.window(3)["loss"], history.steps):
        taken[:] = -1
    assert history.column("loss")[:, 0].tolist() == history.steps.tolist() == [0, 1, 2, 3, 4]


def test_a_new_history_is_empty():
    history = History(8)
    assert len(history) == history.nbytes == 0
    assert history.steps.tolist() == history.column("loss").tolist() == []
    assert history.window(4) == {}


def test_columns_beside_the_record_are_kept_and_thinned_with_it():
    history = History(8)
    for step in range(40):
        history.append(record(step), accuracy=np.full(2, step / 100, np.float32))
    assert history.column("accuracy").shape == (len(history), 2)
    np.testing.assert_allclose(history.column("accuracy")[:, 0], history.steps / 100, rtol=1e-6)
    with pytest.raises(
        ValueError, match=r"the row of step 40 differs .* in accuracy; give the same"
    ):
        history.append(record(40))


def test_a_column_may_hold_one_number_a_step():
    history = History(8)
    for step in range(20):
        history.append(record(step), seconds=step if step == 0 else step / 2)
    assert history.column("seconds").tolist() == (history.steps / 2).tolist()
    assert history.window(2)["seconds"].shape == (2,)


def test_columns_that_do_not_fit():
    history = History(8)
    with pytest.raises(ValueError, match="record has a loss of its own; give the column another"):
        history.append(record(0), loss=np.zeros(2))
    history.append(record(0), levels=np.zeros(2, np.int64))
    for other in (np.zeros(3, np.int64), np.zeros(2), 1.0):
        with pytest.raises(
            ValueError, match=r"row of step 1 differs from those .* in levels; give"
        ):
            history.append(record(1), levels=other)
    with pytest.raises(
        ValueError, match=r"row of step 1 differs .* in damping, effective_lr, forwards"
    ):
        history.append(record(1, runs=3), levels=np.zeros(2, np.int64))
    assert len(history) == 1


@pytest.mark.parametrize("how", ["torch", "numpy"])
@pytest.mark.parametrize("steps", [0, 3, 90])
def test_a_restored_history_goes_on_as_the_first_would_have(how: str, steps: int):
    first, second = filled(steps, 16), History(16)
    if how == "torch":
        second.append(record(0))  # as a run's own beginning, which the state replaces
    second.restore(saved(first.state(), how))
    for step in range(steps, steps + 60):
        for each in (first, second):
            each.append(record(step))
        assert second.steps.tolist() == first.steps.tolist()
        for name in ("loss", "update_projection"):
            assert np.array_equal(second.column(name), first.column(name))
            assert second.column(name).dtype == first.column(name).dtype
    assert list(second.window(3)) == list(first.window(3))


def test_extra_columns_are_part_of_the_state():
    first, second = History(8), History(8)
    for step in range(30):
        first.append(record(step), accuracy=np.full(2, step, np.float32), seconds=0.5)
    second.restore(first.state())
    assert np.array_equal(second.column("accuracy"), first.column("accuracy"))
    second.append(record(30), accuracy=np.zeros(2, np.float32), seconds=1.0)
    with pytest.raises(ValueError, match=r"row of step 31 differs .* in accuracy, seconds; give"):
        second.append(record(31))


def test_a_state_that_does_not_fit():
    state = filled(9, 16).state()
    history = filled(3, 16)
    with pytest.raises(ValueError, match="one of capacity 16 and this is one of capacity 8; rest"):
        History(8).restore(state)
    lacking = {name: value for name, value in state.items() if name != "column.got"}
    with pytest.raises(
        ValueError, match=r"holds no 'column.got'; give what state\(\) of this vers"
    ):
        history.restore(lacking)
    with pytest.raises(
        ValueError, match=r"state's column.got has shape \(4, 2\) .* expected shape"
    ):
        history.restore(state | {"column.got": torch.zeros(4, 2)})
    with pytest.raises(ValueError, match="the state's stride is 0; expected a whole number of at"):
        history.restore(state | {"stride": 0})
    with pytest.raises(ValueError, match="the state's ordinals are not those of a history; make"):
        history.restore(state | {"ordinals": state["ordinals"].flip(0)})
    with pytest.raises(ValueError, match="differs from those before it in damping, effective_lr"):
        history.restore(of_three_runs().state())
    assert history.steps.tolist() == [0, 1, 2], "nothing was changed"


def of_three_runs() -> History:
    history = History(16)
    history.append(record(0, runs=3))
    return history


def test_refusals_are_sentences():
    with pytest.raises(ValueError, match="given 2 rows; give at least 4"):
        History(2)
    history = History(8)
    history.append(record(0))
    with pytest.raises(KeyError, match="no column 'speed'; there are step, loss, probe_loss"):
        history.column("speed")
