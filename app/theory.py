"""The one declared state of the page Stationarity: every control is a field of `Study`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from app.fields import (
    ExperimentError,
    check_fields,
    checked_lanes,
    choice,
    number,
    seed_words,
    take_fields,
    to_text,
)
from demo_models.scenario import Scenario
from demo_models.scenarios import SCENARIOS
from sadam.lanes import LANES, Lane

#: Where every step sees one and the same full batch; a function has no other.
SUBJECTS = {
    key: scenario.title
    for key, scenario in SCENARIOS.items()
    if scenario.is_function or scenario.batch == scenario.pool
}
OPTIMIZERS = ("adamw", "sadam", "sgd")
#: How the learning rate runs, and how the lanes' keys end.
SCHEDULES = {"constant": "constant rate", "inverse-sqrt": "rate / √(t + 1)"}
POWERS = {"squared": "Squared", "norm": "Norm"}
#: The exponent of T that the theorem states, and how it is written.
GUIDES = {"squared": (-0.5, "−1/2"), "norm": (-0.25, "−1/4")}
THINNING = {"every": "At every step", "thinned": "At log-uniform steps"}
DEFAULT = "max-of-planes"
#: What a scenario starts with. A function's gradients cost next to nothing, and at this rate even
#: a damped and falling step leads to its minimum within T; a network's gradients are dear.
FUNCTION: dict[str, Any] = {"lr": 0.2, "steps": 400, "seeds": 4, "thinning": "every"}
NETWORK: dict[str, Any] = {"steps": 1000, "seeds": 1, "thinning": "thinned"}
#: Fields that change only what is drawn of the same measurements.
DRAWN = frozenset({"power"})


@dataclass(frozen=True)
class Study:
    """What is trained, and how its stationarity is measured; immutable and always valid.

    Weight decay is 0 by default, as the theorem is about f alone: decay pulls towards another
    point than one where f is stationary. delta is 0.01, as S-Adam's own probe radius sigma; the
    theorem holds for any. 16 gradients are twice the 4P that make the bound good for two
    parameters, and what a network can afford.

    Raises:
        ExperimentError: one sentence with the field, the value found and the range expected.
    """

    scenario: str = choice(SUBJECTS, DEFAULT, "Scenario")
    lanes: tuple[str, ...] = field(default=OPTIMIZERS, metadata={"label": "Optimizers"})
    lr: float = number(1e-6, 10.0, FUNCTION["lr"], "Learning rate")
    weight_decay: float = number(0.0, 10.0, 0.0, "Weight decay")
    steps: int = number(16, 20_000, FUNCTION["steps"], "Steps T")
    delta: float = number(1e-6, 10.0, 0.01, "Radius δ")
    samples: int = number(2, 256, 16, "Gradients m")
    thinning: str = choice(THINNING, FUNCTION["thinning"], "Stationarity is measured")
    seed: int = number(0, 999_999, 0, "First seed")
    seeds: int = number(1, 32, FUNCTION["seeds"], "Seeds")
    power: str = choice(POWERS, "squared", "Stationarity")

    def __post_init__(self) -> None:
        check_fields(self)
        lanes = checked_lanes(self.lanes)
        others = [LANES[key].title for key in lanes if key not in OPTIMIZERS]
        if others:
            raise ExperimentError(
                f"Optimizers (lanes) has {others[0]}; expected some of {', '.join(OPTIMIZERS)}."
            )
        object.__setattr__(self, "lanes", lanes)

    @property
    def problem(self) -> Scenario:
        """The declared scenario behind the key."""
        return SCENARIOS[self.scenario]

    @property
    def surrogate(self) -> bool:
        """Whether gradients are a straight-through estimator's, and f itself has jumps."""
        network = self.problem.network
        return network is not None and min(network.weight_bits, network.activation_bits) < 32

    @property
    def smooth(self) -> bool:
        """Whether f has a gradient everywhere that varies continuously."""
        network = self.problem.network
        if network is None:
            return self.problem.function == "quadratic"
        return not self.surrogate and network.activation != "relu"

    @property
    def runs(self) -> tuple[Lane, ...]:
        """The lanes that train: every optimizer at a constant rate, then all at a falling one."""
        return tuple(
            replace(
                LANES[key],
                key=f"{key}-{schedule}",
                title=f"{LANES[key].title}, {words}",
                schedule=schedule,
            )
            for schedule, words in SCHEDULES.items()
            for key in self.lanes
        )

    @property
    def name(self) -> str:
        """What a picture or a file of this study is headed with."""
        settings = f"lr {self.lr:g} · T {self.steps} · δ {self.delta:g}"
        return f"{self.problem.title} · {settings} · {seed_words(self.seed, self.seeds)}"

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds that are trained: `seeds` of them from `seed` on."""
        return tuple(range(self.seed, self.seed + self.seeds))

    def change(self, **changes: Any) -> Study:
        """A copy with some fields changed; another scenario brings its own rate and cost."""
        name = changes.get("scenario", self.scenario)
        if name != self.scenario and name in SUBJECTS:
            own = SCENARIOS[name]
            starts = FUNCTION if own.is_function else NETWORK | {"lr": own.lr}
            changes = starts | changes
        return replace(self, **changes)

    def measures_as(self, other: Study) -> bool:
        """Whether what is measured is the same, however it is drawn."""
        names = (item.name for item in fields(self) if item.name not in DRAWN)
        return all(getattr(self, name) == getattr(other, name) for name in names)

    def to_query(self) -> dict[str, str]:
        """The fields that differ from the scenario's defaults, as URL parameters."""
        default = Study().change(scenario=self.scenario)
        query = {} if self.scenario == DEFAULT else {"scenario": self.scenario}
        for item in fields(self):
            value = getattr(self, item.name)
            if value != getattr(default, item.name):
                query[item.name] = to_text(value)
        return query

    @classmethod
    def from_query(cls, query: Mapping[str, Any], refused: list[str] | None = None) -> Study:
        """The study that a URL names.

        Args:
            query: the URL's parameters.
            refused: takes a sentence for each that was not taken; None raises the first.

        Raises:
            ExperimentError: an unknown parameter, or a value that its field refuses.
        """
        return take_fields(cls(), "scenario", cls().change, query, refused)
