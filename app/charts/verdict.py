"""Was it the geometry? One sentence on S-Adam and its controls, computed from the intervals."""

from __future__ import annotations

import numpy as np

from app.charts.figures import ACCURACY, LOSS, Figure, measured
from app.charts.spec import number
from app.charts.table import difference
from app.live.view import View
from sadam.lanes import LANES

#: Lanes that damp by the same law but cannot see the geometry.
SAME_LAW = ("swapped", "random-law")
CONTROLS = ("smaller", *SAME_LAW)
#: What learning rates a verdict holds at.
AT_ONE_RATE, AT_THEIR_BEST = "At this learning rate", "Each at its best rate,"


def verdict(view: View, rates: str = AT_ONE_RATE) -> str:
    """What the controls say about S-Adam, over the seeds; "" where there is nothing to compare.

    Better than plain AdamW and than every control, one of the same damping law among them: the
    geometry helped. Better than AdamW as some control is too: the smaller step did.

    Args:
        view: the run at the step that is shown; needs S-Adam, AdamW and two seeds.
        rates: `AT_ONE_RATE`, or `AT_THEIR_BEST` where each lane has its own.
    """
    experiment = view.experiment
    if experiment.seeds < 2 or not {"sadam", "adamw"} <= set(experiment.lanes) or not view.last:
        return ""
    figure, name = (ACCURACY, "accuracy") if view.samples else (LOSS, "loss")
    controls = [key for key in CONTROLS if key in experiment.lanes]
    scores = _better(figure, view)
    said = [f"{LANES[key].title}'s: {scores[key][1]}" for key in ("adamw", *controls)]
    head = f"{experiment.seeds} seeds, S-Adam's {name} against "
    return f"{head}{'; '.join(said)}. {_conclusion(scores, controls, rates)}"


def _better(figure: Figure, view: View) -> dict[str, tuple[int, str]]:
    """For each lane whether S-Adam is better (1), worse (-1) or neither (0), and how it is said."""
    values = measured(figure, view) * figure.better * (100 if figure.unit else 1)
    lanes = view.experiment.lanes
    found = {}
    for index, key in enumerate(lanes):
        interval = difference(values, lanes.index("sadam"), index)
        said = "no difference seen"
        if interval.sign:
            size = abs(np.array([interval.value, interval.low, interval.high]))
            ends = " to ".join(number(float(v)) for v in np.sort(size[1:]))
            unit = " points" if figure.unit else ""
            said = (
                f"{'better' if interval.sign > 0 else 'worse'} by {number(size[0])}{unit} ({ends})"
            )
        found[key] = (interval.sign, said)
    return found


def _conclusion(scores: dict[str, tuple[int, str]], controls: list[str], rates: str) -> str:
    if scores["adamw"][0] < 1:
        return f"{rates} S-Adam is no better than AdamW."
    if not controls:
        return "Add its controls to see whether the geometry did it or the smaller step."
    if any(scores[key][0] < 1 for key in controls):
        return "A control that cannot see the geometry does as well: the smaller step helped."
    if any(key in SAME_LAW for key in controls):
        return "Better than every control at the same damping law: the geometry helped."
    return "Add S-Adam, swapped, or random law: damping by the same law is not controlled for yet."
