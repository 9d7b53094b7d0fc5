"""What a lane is: one optimizer among those that train side by side. Free of torch.

A lane is a rule, where its damping comes from and how its learning rate runs. All lanes of a seed
share initial weights, mini-batches and, where they probe, directions.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sadam.settings import Settings

__all__ = [
    "DEFAULT_LANES",
    "LANES",
    "MATCHED_WINDOW",
    "Lane",
    "check_lanes",
    "check_rates",
    "learning_rate",
]

# How many of S-Adam's last dampings the matched lane averages: long enough to wash out their
# randomness (they scatter like a random factor), short enough to follow a change of place.
MATCHED_WINDOW = 32


@dataclass(frozen=True)
class Lane:
    """One optimizer: its name, its rule, where its damping comes from and its schedule.

    Args:
        key: short name, unique among the lanes of an ensemble.
        title: what a person reads.
        rule: "adam" is the update of `sadam.update`, the others those of `sadam.rules`. Only Adam
            is damped, and its weight decay never is.
        damping: "none" is 1. "probed" and "asymmetry" are exp(-lambda rho) and
            exp(-lambda asymmetry), measured along random directions at each step. "matched" is the
            mean of the last 32 dampings of the same seed's "probed" lane, "swapped" the damping
            that this lane has now under the NEXT seed, the last under the first. "random" is drawn
            from the law that rho follows on a plain slope, and measures nothing.
        schedule: the learning rate at step t = 0, 1, ...: "constant" lr, "cosine"
            lr (1 + cos(pi t / T)) / 2 and 0 from T on, "inverse-sqrt" lr / sqrt(t + 1).
        needs: keys of the lanes that must train beside it.
        needs_seeds: how many seeds must, at least.
    """

    key: str
    title: str
    rule: Literal["adam", "rmsprop", "sgd", "prox"] = "adam"
    damping: Literal["none", "probed", "matched", "swapped", "random", "asymmetry"] = "none"
    schedule: Literal["constant", "cosine", "inverse-sqrt"] = "constant"
    needs: tuple[str, ...] = ()
    needs_seeds: int = 1


LANES = {
    lane.key: lane
    for lane in (
        Lane("adamw", "AdamW"),
        Lane("sadam", "S-Adam", damping="probed"),
        Lane("smaller", "AdamW, smaller step", damping="matched", needs=("sadam",)),
        Lane("swapped", "S-Adam, swapped", damping="swapped", needs=("sadam",), needs_seeds=2),
        Lane("random-law", "S-Adam, random law", damping="random"),
        Lane("asymmetry", "S-Adam by asymmetry", damping="asymmetry"),
        Lane("cosine", "AdamW, cosine decay", schedule="cosine"),
        Lane("rmsprop", "RMSprop", rule="rmsprop"),
        Lane("sgd", "SGD, momentum 0.9", rule="sgd"),
        Lane("prox", "Prox-SGD", rule="prox"),
    )
}

#: What trains unless somebody chooses: the paper's optimizer, its rival and its first control.
DEFAULT_LANES = ("adamw", "sadam", "smaller")

# Dampings that are those of another lane.
_FOLLOWING = ("matched", "swapped")


def check_lanes(lanes: Sequence[Lane], seeds: int | None = None) -> tuple[Lane, ...]:
    """The lanes as a tuple, once they can train together.

    Args:
        lanes: in the order of the ensemble.
        seeds: how many seeds each trains on; None where that is not known yet.

    Raises:
        ValueError: no lane, two lanes of one key, a lane without a lane or the seeds that it
            needs, a matched or swapped lane that does not name exactly one probed lane to follow,
            or a damped lane of another rule than Adam's.
    """
    keys = [lane.key for lane in lanes]
    if not keys:
        raise ValueError(f"no lane was given; give at least one of {', '.join(LANES)}.")
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise ValueError(f"lane {twice[0]!r} was given twice; the key of every lane is its own.")
    by_key = dict(zip(keys, lanes, strict=True))
    for lane in lanes:
        missing = [key for key in lane.needs if key not in by_key]
        if missing:
            raise ValueError(
                f"lane {lane.key!r} needs lane {missing[0]!r} beside it, which is not among "
                f"{', '.join(keys)}; add it or leave {lane.key!r} out."
            )
        probed = [key for key in lane.needs if by_key[key].damping == "probed"]
        if lane.damping in _FOLLOWING and len(probed) != 1:
            raise ValueError(
                f"lane {lane.key!r} has {lane.damping} damping and names {len(probed)} probed "
                "lanes in needs; name exactly one."
            )
        if lane.damping != "none" and lane.rule != "adam":
            raise ValueError(
                f"lane {lane.key!r} has {lane.damping} damping and the rule {lane.rule!r}; only "
                "'adam' is damped."
            )
        if seeds is not None and seeds < lane.needs_seeds:
            raise ValueError(
                f"lane {lane.key!r} needs at least {lane.needs_seeds} seeds and was given {seeds}; "
                f"add seeds or leave {lane.key!r} out."
            )
    return tuple(lanes)


def check_rates(lanes: Sequence[Lane], settings: Settings) -> None:
    """Make sure that the settings give every lane its learning rate at every step.

    A rate of its own for a lane of `LANES` that does not train is no error, so that one set of
    tuned rates serves any choice of lanes.

    Raises:
        ValueError: a cosine decay without total_steps, or a rate for a key that nobody knows.
    """
    for lane in lanes:
        if lane.schedule == "cosine" and settings.total_steps is None:
            raise ValueError(
                f"lane {lane.key!r} decays along a cosine and total_steps is None; give the number "
                "of steps after which its learning rate is 0."
            )
    known = [*(lane.key for lane in lanes), *LANES]
    for key, _ in settings.lane_lr:
        if key not in known:
            raise ValueError(
                f"lane_lr names lane {key!r}; give keys among {', '.join(dict.fromkeys(known))}."
            )


def learning_rate(lane: Lane, settings: Settings, t: int) -> float:
    """A lane's learning rate at step t = 0, 1, ..., see `Lane`; held to `check_rates` before."""
    lr = settings.own_lr(lane.key)
    if lane.schedule == "cosine":
        assert settings.total_steps is not None
        return lr * (1 + math.cos(math.pi * min(t / settings.total_steps, 1.0))) / 2
    if lane.schedule == "inverse-sqrt":
        return lr / math.sqrt(t + 1)
    return lr
