"""Adam's state as files describe it: found, named where there is no doubt, checked when read."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from app.checkpoints import CheckpointError
from app.checkpoints.adam import AdamOutline, Path, find_adam
from app.checkpoints.outline import TensorOutline

NETWORK = {
    "module.a.weight": TensorOutline("float32", (2, 3)),
    "module.a.bias": TensorOutline("float32", (2,)),
    "module.b.running_mean": TensorOutline("float32", (2,)),
    "module.b.num_batches_tracked": TensorOutline("int64", ()),
}
RENAMED = {name: name.removeprefix("module.") for name in NETWORK}


def kept(shape: tuple[int, ...], step: Any = 5) -> dict[str, Any]:
    moment = TensorOutline("float32", shape)
    return {"step": step, "exp_avg": moment, "exp_avg_sq": moment}


def found(state: dict[Any, Any], *groups: dict[str, Any], key: str = "optim") -> AdamOutline | None:
    top = {"model": {}, key: {"state": state, "param_groups": list(groups)}}
    return find_adam(top, NETWORK, RENAMED)


def names(outline: AdamOutline | None) -> list[str | None]:
    assert outline is not None
    return [slot.name for slot in outline.slots.values()]


def test_parameters_are_named_by_their_place() -> None:
    both = found({0: kept((2, 3)), 1: kept((2,))}, {"params": [0, 1]})
    assert names(both) == ["a.weight", "a.bias"]
    swapped = found({0: kept((2,)), 1: kept((2, 3))}, {"params": [1]}, {"params": [0]})
    assert swapped is not None
    assert names(swapped) == ["a.weight", "a.bias"]
    assert swapped.slots[0].path == ("optim", "state", 1)


def test_parameters_are_named_by_their_own_names() -> None:
    state = {"a.weight": kept((2, 3)), "module.a.bias": kept((2,)), "c": kept((1,))}
    assert names(found(state, {"params": list(state)})) == ["a.weight", "a.bias", None]


def test_a_parameter_without_state_keeps_its_place() -> None:
    outline = found({1: kept((2,))}, {"params": [0, 1]})
    assert outline is not None
    assert (outline.parameters, list(outline.slots)) == (2, [1])
    assert names(outline) == ["a.bias"]


@pytest.mark.parametrize(
    ("state", "params"),
    [
        ({0: kept((2, 3))}, [0]),  # fewer parameters than the network has
        ({0: kept((3, 2)), 1: kept((2,))}, [0, 1]),  # other shapes
        ({0: kept((2,)), 1: kept((2, 3))}, [0, 1]),  # another order
    ],
)
def test_nobody_is_named_where_there_is_doubt(state: Any, params: list[int]) -> None:
    assert set(names(found(state, {"params": params}))) == {None}


@pytest.mark.parametrize(
    "optimizer",
    [
        {},
        {"state": {0: kept((2,))}, "param_groups": {}},
        {"state": {0: kept((2,))}, "param_groups": [{"lr": 1}]},
        {"state": {0: kept((2,))}, "param_groups": [{"params": [None]}]},
        {"state": {}, "param_groups": [{"params": [0]}]},
        {"state": {0: {"momentum_buffer": None}}, "param_groups": [{"params": [0]}]},
        {"state": {0: 7}, "param_groups": [{"params": [0]}]},
    ],
)
def test_what_is_not_adams_is_left_aside(optimizer: dict[str, Any]) -> None:
    assert find_adam({"model": {}, "optimizer": optimizer}, NETWORK, RENAMED) is None
    assert find_adam({"model": {}}, NETWORK, RENAMED) is None


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ([{"lr": 0.1, "betas": [0.9, 0.99], "eps": 1}], (0.1, (0.9, 0.99), 1.0, None)),
        ([{"lr": True, "betas": (0.9,)}], (None, None, None, None)),
        ([{"lr": float("nan"), "betas": (0.9, "x")}], (None, None, None, None)),
        ([{"lr": TensorOutline("float32", ())}], (None, None, None, None)),
        ([{"lr": 0.1, "eps": 1e-8}, {"lr": 0.2, "eps": 1e-8}], (None, None, 1e-8, None)),
    ],
)
def test_settings_are_plain_and_agreed(groups: Any, expected: tuple[Any, ...]) -> None:
    params = [{"params": [0]}, {"params": [1]}]
    outline = found({0: kept((2, 3))}, *[a | b for a, b in zip(groups, params, strict=False)])
    assert outline is not None
    order = ("lr", "betas", "eps", "weight_decay")
    assert tuple(outline.settings[name] for name in order) == expected


@pytest.mark.parametrize(
    ("step", "second", "text"),
    [
        (2.5, 1.0, "the optimizer took 2.5 steps for parameter 0; expected a whole number >= 0"),
        (-1.0, 1.0, "the optimizer took -1 steps"),
        (3.0, -1.0, "exp_avg_sq of parameter 0 is negative somewhere; expected means of squares"),
    ],
)
def test_moments_are_checked_when_they_are_read(step: float, second: float, text: str) -> None:
    outline = found({0: kept((2, 3), TensorOutline("float32", ()))}, {"params": [0]})
    assert outline is not None
    values = {"step": torch.tensor(step), "exp_avg_sq": torch.full((2, 3), second)}

    def tensor(path: Path) -> torch.Tensor:
        return values.get(str(path[-1]), torch.zeros(2, 3))

    assert {path[-1] for path in outline.wanted()} == {"step", "exp_avg", "exp_avg_sq"}
    with pytest.raises(CheckpointError, match=text):
        outline.read(tensor)
    values |= {"step": torch.tensor(3.0), "exp_avg_sq": torch.ones(2, 3)}
    assert outline.read(tensor).moments[0].step == 3
