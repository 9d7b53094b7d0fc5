"""Honest files load, all the real way, several at a time."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from app.checkpoints import AdamState, Checkpoint, read_checkpoint
from tests.app.checkpoints.honest import (
    Honest,
    adam_in_groups,
    adamw,
    honest_files,
    sadam,
    trained,
)

FILES = honest_files()
BY_NAME = {file.name: file for file in FILES}


@pytest.fixture(scope="module")
def read() -> dict[str, Checkpoint]:
    """Every honest file as it was read; the queue is used by three readers."""
    with ThreadPoolExecutor(3) as pool:
        found = pool.map(lambda file: read_checkpoint(file.data, file.filename), FILES)
        return {file.name: checkpoint for file, checkpoint in zip(FILES, found, strict=True)}


@pytest.mark.parametrize("name", BY_NAME)
def test_honest_files_load(name: str, read: dict[str, Checkpoint]) -> None:
    file, checkpoint = BY_NAME[name], read[name]
    assert sorted(checkpoint.tensors) == sorted(file.tensors)
    if file.meta.get("format") != "safetensors":  # whose writer sorts the names
        assert list(checkpoint.tensors) == list(file.tensors)
    for key, expected in file.tensors.items():
        found = checkpoint.tensors[key]
        assert found.dtype == expected.dtype
        assert found.is_contiguous()
        assert not found.requires_grad
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert checkpoint.meta | file.meta == checkpoint.meta
    assert set(checkpoint.meta["dtypes"]) == set(file.tensors)


def test_there_are_enough() -> None:
    assert len(FILES) >= 15
    assert len(BY_NAME) == len(FILES)


def test_a_loaded_network_computes_what_the_saved_one_did(read: dict[str, Checkpoint]) -> None:
    model, _ = trained(adamw)
    images = torch.ones(2, 1, 4, 4)
    expected = model.eval()(images)
    fresh = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))
    fresh.load_state_dict(read["state_dict with optimizer"].tensors)
    assert torch.equal(fresh.eval()(images), expected)


@pytest.mark.parametrize(
    ("name", "make", "settings"),
    [
        ("state_dict with optimizer", adamw, (0.02, (0.8, 0.99), 1e-8, 0.1)),
        ("model_state_dict with optimizer_state_dict", sadam, (0.02, (0.9, 0.999), 1e-8, 0.1)),
        ("model with optim", adam_in_groups, (0.02, (0.9, 0.999), 1e-8, None)),
    ],
)
def test_adams_moments_come_with_their_names(
    name: str, make: Any, settings: tuple[Any, ...], read: dict[str, Checkpoint]
) -> None:
    model, optimizer = trained(make)
    state = read[name].optimizer
    assert isinstance(state, AdamState)
    assert (state.lr, state.betas, state.eps, state.weight_decay) == settings
    names = [name for name, _ in model.named_parameters()]
    assert state.parameters == len(names)
    assert [state.moments[i].name for i in range(len(names))] == names
    for moments, parameter in zip(state.moments.values(), model.parameters(), strict=True):
        kept = optimizer.state[parameter]
        assert moments.step == int(kept["step"]) == 2
        assert torch.equal(moments.exp_avg, kept["exp_avg"])
        assert torch.equal(moments.exp_avg_sq, kept["exp_avg_sq"])


def test_another_optimizers_state_is_left_aside(read: dict[str, Checkpoint]) -> None:
    assert read["state_dict with sgd"].optimizer is None
    assert "sgd" in read["state_dict with sgd"].meta["left_aside"]


def test_prefixed_and_safetensors_twins_are_equal(read: dict[str, Checkpoint]) -> None:
    plain = read["bare state dict"].tensors
    for twin in ("_orig_mod.module.", "safetensors, torch.float32"):
        assert all(torch.equal(read[twin].tensors[k], v) for k, v in plain.items())


def test_meta_is_plain(read: dict[str, Checkpoint]) -> None:
    def plain(value: Any) -> bool:
        if isinstance(value, dict):
            return all(plain(k) and plain(v) for k, v in value.items())
        if isinstance(value, list):
            return all(map(plain, value))
        return value is None or isinstance(value, bool | int | float | str)

    assert all(plain(checkpoint.meta) for checkpoint in read.values())


def test_values_are_finite_and_shown_in_ascii(read: dict[str, Checkpoint]) -> None:
    def finite(t: Tensor) -> bool:
        return math.isfinite(float(t.double().abs().sum()))

    for checkpoint in read.values():
        assert all(map(finite, checkpoint.tensors.values()))
        assert str(checkpoint.meta["values"]).isascii()
        assert str(checkpoint.meta["left_aside"]).isascii()


def test_file_type(read: dict[str, Checkpoint]) -> None:
    kinds = {name: checkpoint.meta["format"] for name, checkpoint in read.items()}
    assert {k for k, v in kinds.items() if v == "safetensors"} == {
        file.name for file in FILES if file.filename.endswith(".safetensors")
    }
    assert isinstance(FILES[0], Honest)
