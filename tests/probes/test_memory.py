import gc
import weakref

import pytest
import torch
from torch import Tensor, nn

from probes import Objective
from probes.memory import footprint, in_chunks, is_out_of_memory, megabytes, memory_budget

CPU = torch.device("cpu")


def counted(sizes):
    """f(x) = sum x that notes the size of every call."""

    def f(points):
        sizes.append(len(points))
        return points.sum(dim=1)

    return f


def test_budget_from_argument_environment_and_default(monkeypatch):
    monkeypatch.delenv("CHATTERSCOPE_MEMORY_MB", raising=False)
    assert memory_budget(CPU) == 256_000_000
    assert memory_budget(torch.device("cuda")) == 1_024_000_000
    monkeypatch.setenv("CHATTERSCOPE_MEMORY_MB", "8")
    assert memory_budget(CPU) == 8_000_000
    assert memory_budget(CPU, 2.5) == 2_500_000


@pytest.mark.parametrize("value", ["much", "0", "-3", "nan", "inf"])
def test_a_bad_budget_names_its_source(monkeypatch, value):
    monkeypatch.setenv("CHATTERSCOPE_MEMORY_MB", value)
    with pytest.raises(ValueError, match=f"CHATTERSCOPE_MEMORY_MB is '{value}', expected a number"):
        memory_budget(CPU)
    with pytest.raises(ValueError, match=r"memory_mb is -1\.0, expected a number of megabytes"):
        memory_budget(CPU, -1.0)


def test_chunks_stay_within_the_budget():
    sizes = []
    objective = Objective.from_function(counted(sizes), torch.zeros(1000), memory_mb=0.2)
    points = torch.rand(50, 1000, generator=torch.Generator().manual_seed(0))
    sizes.clear()
    losses = objective.losses(points)
    assert sum(sizes) == 50 + 1  # one more to measure a point
    assert max(sizes) * 4000 * 3 <= 200_000
    torch.testing.assert_close(losses, points.sum(dim=1))
    assert objective.points_in_budget == 50


def test_a_footprint_counts_what_a_point_keeps_but_not_the_batch():
    inputs = torch.ones(1000, 3, dtype=torch.float64)

    def loss(theta):
        return (inputs @ theta).exp().sum()  # exp keeps its 1000 results

    theta = torch.zeros(3, dtype=torch.float64)
    assert footprint(loss, theta, (inputs,)).widest == 8000
    assert footprint(loss, theta, (inputs,)).total < 9000
    assert footprint(loss, theta, ()).widest == 24_000


def test_wide_models_get_smaller_chunks(mlp, batch):
    objective = Objective.from_module(mlp, nn.functional.cross_entropy, batch, memory_mb=0.05)
    points = objective.theta.expand(40, -1)
    free = objective.copy()
    free.memory_bytes = 10**9
    assert objective._chunk(backward=False) < 40 < free._chunk(backward=False)
    assert objective._chunk(backward=True) < objective._chunk(backward=False)
    torch.testing.assert_close(objective.gradients(points), free.gradients(points))


def test_out_of_memory_halves_the_chunk_and_remembers_it():
    sizes = []

    def f(points):
        sizes.append(len(points))
        if len(points) > 6:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 8 GB")
        return points.sum(dim=1)

    objective = Objective.from_function(f, torch.zeros(2))
    sizes.clear()
    assert objective.losses(torch.ones(20, 2)).tolist() == [2.0] * 20
    assert sizes == [1, 20, 10, 5, 5, 5, 5]
    sizes.clear()
    objective.gradients(torch.ones(20, 2))
    assert sizes == [5, 5, 5, 5]


def test_a_point_that_never_fits_is_a_memory_error():
    def full(points):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(MemoryError, match="One point of 3 parameters does not fit on cpu"):
        in_chunks(full, torch.ones(4, 3), 4)


def test_other_errors_are_not_taken_for_memory():
    def broken(points):
        raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape mismatch"):
        in_chunks(broken, torch.ones(4, 3), 4)
    assert is_out_of_memory(RuntimeError("MPS backend out of memory"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_sizes_as_a_person_reads_them():
    assert [megabytes(s) for s in (1.6e9, 35e6, 1234.0)] == ["1.6 GB", "35 MB", "0.00123 MB"]


def test_measuring_a_point_leaves_nothing_behind() -> None:
    kept: list[weakref.ref[Tensor]] = []

    def loss(theta: Tensor) -> Tensor:
        hidden = theta.exp()  # its graph saves the very result
        kept.append(weakref.ref(hidden))
        return hidden.sum()

    footprint(loss, torch.zeros(8), ())
    gc.collect()
    assert kept[0]() is None
