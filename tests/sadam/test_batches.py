"""Mini-batches: epochs without replacement, a pure function of (seed, step)."""

import torch

from sadam import Batches

POOL = torch.arange(10.0)[:, None]


def drawn(batches: Batches, step: int) -> list[list[int]]:
    inputs, targets = batches.at(step)
    assert torch.equal(inputs[..., 0], targets)
    return targets.int().tolist()


def test_an_epoch_shows_no_sample_twice_and_drops_the_partial_batch():
    batches = Batches(POOL, POOL[:, 0], 3, [0, 5])
    assert not batches.full
    for epoch in range(4):
        for s in range(2):
            seen = [i for place in range(3) for i in drawn(batches, 3 * epoch + place)[s]]
            assert len(seen) == len(set(seen)) == 9


def test_epochs_and_seeds_differ():
    batches = Batches(POOL, POOL[:, 0], 5, [0, 1])
    first = [drawn(batches, step) for step in range(4)]
    assert first[0][0] != first[0][1]
    assert first[:2] != first[2:]


def test_a_step_can_be_replayed_in_any_order_and_company():
    many = Batches(POOL, POOL[:, 0], 4, [3, 8])
    alone = Batches(POOL, POOL[:, 0], 4, [8])
    expected = [drawn(many, step)[1] for step in range(7)]
    assert [drawn(alone, step)[0] for step in reversed(range(7))] == expected[::-1]


def test_the_global_generator_neither_governs_nor_moves():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = drawn(Batches(POOL, POOL[:, 0], 4, [3]), 0)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert drawn(Batches(POOL, POOL[:, 0], 4, [3]), 0) == first


def test_a_batch_as_large_as_the_pool_is_the_pool_itself():
    for size in (10, 99):
        batches = Batches(POOL, POOL[:, 0], size, [0, 1])
        inputs, _ = batches.at(17)
        assert batches.full
        assert inputs is POOL


def test_bytes_become_numbers_in_the_batch_that_takes_them():
    pool = torch.arange(30, dtype=torch.uint8).view(10, 3)
    targets = torch.arange(10)

    def numbers(inputs: torch.Tensor) -> torch.Tensor:
        return inputs.float() / 2

    batches = Batches(pool, targets, 4, [3, 8], numbers=numbers)
    assert batches.inputs is pool
    inputs, chosen = batches.at(1)
    assert (inputs.dtype, tuple(inputs.shape)) == (torch.float32, (2, 4, 3))
    assert torch.equal(inputs, pool[chosen].float() / 2)
    assert torch.equal(chosen, Batches(pool, targets, 4, [3, 8]).at(1)[1]), "the same samples"
    whole, _ = Batches(pool, targets, 10, [3], numbers=numbers).at(0)
    assert torch.equal(whole, pool.float() / 2)
