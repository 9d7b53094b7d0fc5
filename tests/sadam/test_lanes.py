"""Lanes and settings are declarations: importing them must not wait for torch."""

import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import sadam
from sadam import DEFAULT_LANES, LANES, Lane, Settings
from sadam.lanes import check_lanes, check_rates, learning_rate

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("module", ["sadam", "sadam.lanes", "sadam.settings"])
def test_imports_without_torch(module: str):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_every_public_name_can_be_imported():
    assert all(getattr(sadam, name) is not None for name in sadam.__all__)
    with pytest.raises(AttributeError, match="module 'sadam' has no attribute 'Adam'"):
        sadam.Adam  # noqa: B018


def test_the_lanes_of_the_lab():
    assert {key: (lane.title, lane.rule, lane.damping) for key, lane in LANES.items()} == {
        "adamw": ("AdamW", "adam", "none"),
        "sadam": ("S-Adam", "adam", "probed"),
        "smaller": ("AdamW, smaller step", "adam", "matched"),
        "swapped": ("S-Adam, swapped", "adam", "swapped"),
        "random-law": ("S-Adam, random law", "adam", "random"),
        "asymmetry": ("S-Adam by asymmetry", "adam", "asymmetry"),
        "cosine": ("AdamW, cosine decay", "adam", "none"),
        "rmsprop": ("RMSprop", "rmsprop", "none"),
        "sgd": ("SGD, momentum 0.9", "sgd", "none"),
        "prox": ("Prox-SGD", "prox", "none"),
    }
    assert [key for key, lane in LANES.items() if lane.schedule != "constant"] == ["cosine"]
    assert {key: lane.needs for key, lane in LANES.items() if lane.needs} == {
        "smaller": ("sadam",),
        "swapped": ("sadam",),
    }
    assert check_lanes(list(LANES.values()), seeds=2) == tuple(LANES.values())


def test_the_lanes_by_default_train_with_one_seed():
    assert DEFAULT_LANES == ("adamw", "sadam", "smaller")
    check_lanes([LANES[key] for key in DEFAULT_LANES], seeds=1)


def test_a_cosine_is_torchs():
    settings = Settings(lr=0.3, total_steps=40)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    torchs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=40)
    for t in range(41):
        found = learning_rate(LANES["cosine"], settings, t)
        assert found == pytest.approx(torchs.get_last_lr()[0], rel=1e-12, abs=1e-15)
        optimizer.step()
        torchs.step()
    assert learning_rate(LANES["cosine"], settings, 40) == 0
    assert learning_rate(LANES["cosine"], settings, 99) == 0


def test_schedules_and_rates_of_ones_own():
    slower = Lane("x", "X", schedule="inverse-sqrt")
    settings = Settings(lr=0.1, lane_lr=(("sgd", 1.0), ("x", 0.5)))
    assert learning_rate(LANES["adamw"], settings, 7) == 0.1
    assert learning_rate(LANES["sgd"], settings, 7) == 1.0
    assert [learning_rate(slower, settings, t) for t in (0, 3, 8)] == pytest.approx(
        [0.5, 0.25, 0.5 / 3], rel=1e-15
    )
    cosine = Settings(lr=0.1, total_steps=4, lane_lr=(("cosine", 0.2),))
    assert learning_rate(LANES["cosine"], cosine, 1) == pytest.approx(
        0.1 * (1 + math.cos(math.pi / 4))
    )


SENTENCES = [
    ([], "no lane was given; give at least one of adamw, sadam, smaller, swapped, random-law, "),
    ([LANES["adamw"]] * 2, "lane 'adamw' was given twice; the key of every lane is its own."),
    (
        [LANES["adamw"], LANES["smaller"]],
        (
            "lane 'smaller' needs lane 'sadam' beside it, which is not among adamw, smaller; "
            "add it or leave 'smaller' out."
        ),
    ),
    (
        [Lane("x", "X", damping="matched")],
        "lane 'x' has matched damping and names 0 probed lanes in needs; name exactly one.",
    ),
    (
        [LANES["adamw"], Lane("x", "X", damping="swapped", needs=("adamw",))],
        "lane 'x' has swapped damping and names 0 probed lanes in needs; name exactly one.",
    ),
    (
        [LANES["sadam"], LANES["swapped"]],
        "lane 'swapped' needs at least 2 seeds and was given 1; add seeds or leave 'swapped' out.",
    ),
    (
        [Lane("x", "X", rule="sgd", damping="random")],
        "lane 'x' has random damping and the rule 'sgd'; only 'adam' is damped.",
    ),
]


@pytest.mark.parametrize(("lanes", "text"), SENTENCES)
def test_lanes_that_cannot_train_together(lanes: list[Lane], text: str):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}"):
        check_lanes(lanes, seeds=1)


def test_settings_that_do_not_fit_the_lanes():
    with pytest.raises(ValueError, match=r"lane 'cosine' decays .* total_steps is None; give the"):
        check_rates([LANES["cosine"]], Settings())
    with pytest.raises(ValueError, match="lane_lr names lane 'adam'; give keys among x, adamw, "):
        check_rates([Lane("x", "X")], Settings(lane_lr=(("x", 0.1), ("sgd", 0.1), ("adam", 0.1))))
    check_rates([Lane("x", "X")], Settings(lane_lr=(("x", 0.1), ("sgd", 0.1))))
