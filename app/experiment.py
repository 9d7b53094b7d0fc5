"""The one declared state of the page: every control is a field of `Experiment`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from demo_models.scenarios import DEFAULT, SCENARIOS, Scenario
from sadam.lanes import DEFAULT_LANES, LANES

PLANES = {
    "pca": "PCA of all paths",
    "start-end": "Start and two ends",
    "step": "Microscope: update and gradient",
    "random-filter": "Random, filter-normalised",
    "random-layer": "Random, layer-normalised",
    "random-none": "Random, not normalised",
}
MEASURES = {
    "lgi": "LGI, the paper's instability",
    "asymmetry": "Asymmetry",
    "variance": "Variance of the slopes",
    "holder": "Hölder exponent",
    "roughness": "Roughness",
    "diameter": "Clarke diameter, lower bound",
    "stationarity": "Clarke stationarity, upper bound",
}
DRAWS = {"shared": "One draw for all points", "fresh": "A draw for each point"}
SERIES = {
    "gradient": "Gradient",
    "update": "Update, damping divided out",
    "update-applied": "Update as applied",
}
STRIPS = {
    "loss": "Loss",
    "jump": "Loss jump per step",
    "relative": "Loss jump, relative",
    "broken": "Broken promises",
    "kept": "Promise kept",
    "levels": "Weights changing level",
    "oscillating": "Oscillating weights",
    "alpha": "Cockpit's α",
    "sharpness": "Sharpness / limit",
    "along-lgi": "LGI along the run",
    "along-asymmetry": "Asymmetry along the run",
    "along-holder": "Hölder exponent along the run",
    "along-roughness": "Roughness along the run",
    "along-diameter": "Clarke diameter along the run",
}
#: Strips that are measured after the fact, at kept steps, and the instrument of each.
ALONG = {key: key.removeprefix("along-") for key in STRIPS if key.startswith("along-")}
TABLES = {"chatter": "Chattering", "cost": "Path and cost", "oscillation": "Oscillation"}
SURFACES = {"heatmap": "Heatmap", "contour": "Contour", "surface": "Surface"}
SCALES = {"shared": "Same axes", "own": "Own axes"}
ROUNDING = {2: "2 bit", 4: "4 bit", 32: "off"}
#: Optimizers at once: as many as there are colours to tell apart.
MOST_LANES = 8
SLICE_POINTS = (9, 17, 33, 65, 129)
#: Fields that act on a run in progress; a change of any other training field starts it anew.
LIVE = frozenset({"lr", "lgi_lambda", "steps"})
#: Fields that only change what is drawn.
VIEW = frozenset(
    {"plane", "extent", "measure", "series", "mark", "strips", "surface", "scale"}
    | {
        "slice_resolution",
        "map_resolution",
        "map_k",
        "map_sigma",
        "map_draws",
        "table",
        "reference",
    }
)


class ExperimentError(ValueError):
    """A setting that cannot be used; its text names the field, the value and the range."""


def _number(low: float, high: float, default: Any, label: str) -> Any:
    return field(default=default, metadata={"low": low, "high": high, "label": label})


def _choice(options: Mapping[str, str], default: str, label: str) -> Any:
    return field(default=default, metadata={"options": options, "label": label})


@dataclass(frozen=True)
class Experiment:
    """What is trained, how it is probed and what is drawn; immutable and always valid.

    Ranges are what a page can show live on a small machine; `sadam` and `probes` take more.

    Raises:
        ExperimentError: one sentence with the field, the value found and the range expected.
    """

    scenario: str = _choice({k: s.title for k, s in SCENARIOS.items()}, DEFAULT, "Scenario")
    bits: int = field(default=2, metadata={"options": ROUNDING, "label": "Rounding"})
    lanes: tuple[str, ...] = field(default=DEFAULT_LANES, metadata={"label": "Optimizers"})
    lr: float = _number(1e-6, 10.0, SCENARIOS[DEFAULT].lr, "Learning rate")
    lgi_lambda: float = _number(0.0, 100.0, 2.0, "Strength λ")
    k: int = _number(1, 64, 2, "Probes k")
    sigma: float = _number(1e-6, 10.0, 0.01, "Radius σ")
    batch: int = _number(1, 4096, SCENARIOS[DEFAULT].batch, "Batch")
    seed: int = _number(0, 999_999, 0, "First seed")
    seeds: int = _number(1, 32, 1, "Seeds")
    steps: int = _number(1, 100_000, SCENARIOS[DEFAULT].steps, "Steps")
    plane: str = _choice(PLANES, "pca", "Plane")
    extent: tuple[float, ...] = field(default=(), metadata={"label": "Extent"})
    measure: str = _choice(MEASURES, "lgi", "Measure")
    series: str = _choice(SERIES, "gradient", "Spectrum of")
    strips: str = _choice(STRIPS, "loss", "Strips")
    table: str = _choice(TABLES, "chatter", "Figures")
    reference: str = _choice({key: lane.title for key, lane in LANES.items()}, "adamw", "Less")
    surface: str = _choice(SURFACES, "heatmap", "Slice as")
    scale: str = _choice(SCALES, "shared", "Axes")
    mark: float = _number(0.01, 0.49, 0.1, "Mark")
    slice_resolution: int = _number(9, 129, 33, "Slice points")
    map_resolution: int = _number(5, 65, 15, "Map points")
    map_k: int = _number(2, 64, 4, "Map probes k")
    map_sigma: float = _number(1e-6, 10.0, 0.1, "Map radius σ")
    map_draws: str = _choice(DRAWS, "shared", "Map directions")

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if "low" in item.metadata:
                value = _checked_number(item, value)
                object.__setattr__(self, item.name, value)
            elif "options" in item.metadata:
                object.__setattr__(self, item.name, _checked_choice(item, value))
        object.__setattr__(self, "lanes", _checked_lanes(self.lanes))
        object.__setattr__(self, "extent", _checked_extent(self.extent))
        short = [key for key in self.lanes if LANES[key].needs_seeds > self.seeds]
        if short:
            lane = LANES[short[0]]
            raise ExperimentError(
                f"Seeds (seeds) is {self.seeds}; {lane.title} needs {lane.needs_seeds} or more: "
                "raise Seeds first, or leave it out."
            )
        pool = self.problem.pool
        if pool is not None and self.batch > pool:
            raise ExperimentError(
                f"Batch (batch) is {self.batch}; expected a whole number from 1 to {pool}, the "
                "samples of this scenario."
            )
        if self.slice_resolution not in SLICE_POINTS:
            raise ExperimentError(
                f"Slice points (slice_resolution) is {self.slice_resolution}; expected 9, 17, 33, "
                "65 or 129: each level reuses the points of the last."
            )

    @property
    def problem(self) -> Scenario:
        """The declared scenario behind the key, rounded to `bits` where it can be."""
        scenario = SCENARIOS[self.scenario]
        return scenario if scenario.network is None else scenario.rounded(self.bits)

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds that are trained: `seeds` of them from `seed` on."""
        return tuple(range(self.seed, self.seed + self.seeds))

    def change(self, **changes: Any) -> Experiment:
        """A copy with some fields changed.

        A new scenario brings its own learning rate, batch, steps and rounding; a new plane or
        scenario shows its whole extent.
        """
        if changes.get("scenario") in SCENARIOS and changes["scenario"] != self.scenario:
            own = SCENARIOS[changes["scenario"]]
            bits = own.network.weight_bits if own.network else 32
            settings = {"lr": own.lr, "batch": own.batch, "steps": own.steps, "bits": bits}
            changes = settings | {"extent": ()} | changes
        if changes.get("plane", self.plane) != self.plane:
            changes = {"extent": ()} | changes
        return replace(self, **changes)

    def needs_restart(self, other: Experiment) -> bool:
        """Whether going from this experiment to `other` starts the run anew."""
        return any(
            getattr(self, item.name) != getattr(other, item.name)
            for item in fields(self)
            if item.name not in LIVE | VIEW
        )

    def to_query(self) -> dict[str, str]:
        """The fields that differ from the scenario's defaults, as URL parameters."""
        default = Experiment().change(scenario=self.scenario)
        query = {} if self.scenario == DEFAULT else {"scenario": self.scenario}
        for item in fields(self):
            value = getattr(self, item.name)
            if value != getattr(default, item.name):
                parts = value if isinstance(value, tuple) else (value,)
                query[item.name] = ",".join(str(part) for part in parts)
        return query

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> Experiment:
        """The experiment that a URL names.

        Raises:
            ExperimentError: an unknown parameter, or a value that its field refuses.
        """
        known = {item.name for item in fields(cls)}
        for name in query:
            if name not in known:
                raise ExperimentError(
                    f"The link sets {ascii(name)[:80]}; "
                    f"this version knows {', '.join(sorted(known))}."
                )
        changes: dict[str, Any] = dict(query)
        for name in ("lanes", "extent"):
            if name in changes:
                changes[name] = tuple(part for part in changes[name].split(",") if part)
        scenario = {"scenario": changes.pop("scenario")} if "scenario" in changes else {}
        return cls().change(**scenario).change(**changes)


def _checked_number(item: Any, value: Any) -> float | int:
    """`value` as the field's own kind of number, within its range."""
    low, high, label = item.metadata["low"], item.metadata["high"], item.metadata["label"]
    whole = isinstance(item.default, int)
    kind = "a whole number" if whole else "a number"
    found = f"{value:g}" if isinstance(value, float) else ascii(value)[:60]
    sentence = f"{label} ({item.name}) is {found}; expected {kind} from {low:g} to {high:g}."
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ExperimentError(sentence) from None
    # A comparison with nan is false, so nan is refused here as well.
    if isinstance(value, bool) or not low <= number <= high or (whole and number % 1):
        raise ExperimentError(sentence)
    return int(number) if whole else number


def _checked_choice(item: Any, value: Any) -> str | int:
    """`value` as one of the field's options; a number may come as text, from a URL."""
    for option in item.metadata["options"]:
        if value == option or (isinstance(value, str) and value == str(option)):
            return option
    options = ", ".join(str(option) for option in item.metadata["options"])
    raise ExperimentError(
        f"{item.metadata['label']} ({item.name}) is {ascii(value)[:60]}; expected one of {options}."
    )


def _checked_extent(extent: Any) -> tuple[float, ...]:
    """Nothing, or the rectangle a0, a1, b0, b1 of the plane that is shown."""
    try:
        numbers = tuple(float(part) for part in extent)
    except (TypeError, ValueError):
        numbers = (float("nan"),)
    if numbers and not (
        len(numbers) == 4
        and all(abs(number) < 1e9 for number in numbers)
        and numbers[0] < numbers[1]
        and numbers[2] < numbers[3]
    ):
        raise ExperimentError(
            f"Extent (extent) is {ascii(extent)[:80]}; expected nothing, or four numbers "
            "a0, a1, b0, b1 with a0 < a1 and b0 < b1."
        )
    return numbers


def _checked_lanes(lanes: Any) -> tuple[str, ...]:
    """The lanes in the order of `LANES`, each one known, none twice, with what they need."""
    names = tuple(lanes) if isinstance(lanes, tuple | list) else (lanes,)
    unknown = [name for name in names if not (isinstance(name, str) and name in LANES)]
    if unknown or not names:
        found = ", ".join(ascii(name)[:60] for name in unknown) or "none"
        raise ExperimentError(
            f"Optimizers (lanes) has {found}; expected at least one of {', '.join(LANES)}."
        )
    if len(names) > MOST_LANES:
        raise ExperimentError(
            f"Optimizers (lanes) has {len(names)}; expected at most {MOST_LANES} at once."
        )
    for name in names:
        missing = [LANES[other].title for other in LANES[name].needs if other not in names]
        if missing:
            raise ExperimentError(
                f"Optimizers (lanes) has {LANES[name].title}, which takes its damping from "
                f"{', '.join(missing)}; add {', '.join(missing)} or leave it out."
            )
    return tuple(name for name in LANES if name in names)
