"""What a lane is: one optimizer among those that train side by side. Free of torch.

A lane is a rule and where its damping comes from. All lanes of a seed share initial weights,
mini-batches and, where they probe, directions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["LANES", "MATCHED_WINDOW", "Lane", "check_lanes"]

# How many of S-Adam's last dampings the matched lane averages: long enough to wash out their
# randomness (they scatter like a random factor), short enough to follow a change of place.
MATCHED_WINDOW = 32


@dataclass(frozen=True)
class Lane:
    """One optimizer: its name, its rule and where its damping comes from.

    Args:
        key: short name, unique among the lanes of an ensemble.
        title: what a person reads.
        rule: "adam", the update of `sadam.update`.
        damping: "none" is 1; "probed" is measured along random directions at each step; "matched"
            is the mean of the last 32 dampings of the same seed's "probed" lane.
        needs: keys of the lanes that must train beside it.
    """

    key: str
    title: str
    rule: Literal["adam"] = "adam"
    damping: Literal["none", "probed", "matched"] = "none"
    needs: tuple[str, ...] = ()


LANES = {
    lane.key: lane
    for lane in (
        Lane("adamw", "AdamW"),
        Lane("sadam", "S-Adam", damping="probed"),
        Lane("smaller", "AdamW, smaller step", damping="matched", needs=("sadam",)),
    )
}


def check_lanes(lanes: Sequence[Lane]) -> tuple[Lane, ...]:
    """The lanes as a tuple, once they can train together.

    Raises:
        ValueError: no lane, two lanes of one key, a lane without one that it needs, or a matched
            lane that does not name exactly one probed lane to follow.
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
        if lane.damping == "matched" and len(probed) != 1:
            raise ValueError(
                f"lane {lane.key!r} has matched damping and names {len(probed)} probed lanes in "
                "needs; name exactly one."
            )
    return tuple(lanes)
