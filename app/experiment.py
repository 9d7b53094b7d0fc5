"""The one declared state of the page: every control is a field of `Experiment`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from app.fields import (
    VERSION,
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
from demo_models.scenarios import DEFAULT, SCENARIOS
from sadam.lanes import DEFAULT_LANES, LANES

#: What a file of an experiment is.
FILE = "the experiment.json of a comparison, or an experiment or run that this page saved"
#: Bytes of a file that are parsed at most; an experiment has about one thousand.
MOST_BYTES = 65_536
#: How the file of a run begins, see `app.export.numbers`: the rest of it is never parsed.
RUN = re.compile(r'\s*\{\s*"experiment"\s*:\s*')
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
    "spectrogram": "Gradient over time",
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
#: Where seed 0 of an analytic function starts, (x, y): `demo_models.functions` has them too, but
#: loads torch, which the first paint must not wait for.
STARTS = {
    "abs-l1": (1.5, -1.0),
    "rosenbrock": (-1.2, 1.0),
    "max-of-planes": (1.2, 1.4),
    "quadratic": (1.5, 1.0),
}
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


@dataclass(frozen=True)
class Experiment:
    """What is trained, how it is probed and what is drawn; immutable and always valid.

    beta1 is that of the optimizers with Adam's rule. (x0, y0) is where seed 0 of an analytic
    function starts, the others beside it; a network starts at its initial weights.

    Ranges are what a page can show live on a small machine; `sadam` and `probes` take more.

    Raises:
        ExperimentError: one sentence with the field, the value found and the range expected.
    """

    scenario: str = choice({k: s.title for k, s in SCENARIOS.items()}, DEFAULT, "Scenario")
    bits: int = choice(ROUNDING, 2, "Rounding")
    lanes: tuple[str, ...] = field(default=DEFAULT_LANES, metadata={"label": "Optimizers"})
    lr: float = number(1e-6, 10.0, SCENARIOS[DEFAULT].lr, "Learning rate")
    beta1: float = number(0.0, 0.999, 0.9, "Momentum β1")
    lgi_lambda: float = number(0.0, 100.0, 2.0, "Strength λ")
    k: int = number(1, 64, 2, "Probes k")
    sigma: float = number(1e-6, 10.0, 0.01, "Radius σ")
    batch: int = number(1, 4096, SCENARIOS[DEFAULT].batch, "Batch")
    seed: int = number(0, 999_999, 0, "First seed")
    seeds: int = number(1, 32, 1, "Seeds")
    steps: int = number(1, 100_000, SCENARIOS[DEFAULT].steps, "Steps")
    x0: float = number(-2.0, 2.0, 0.0, "Start x")
    y0: float = number(-2.0, 2.0, 0.0, "Start y")
    plane: str = choice(PLANES, "pca", "Plane")
    extent: tuple[float, ...] = field(default=(), metadata={"label": "Extent"})
    measure: str = choice(MEASURES, "lgi", "Measure")
    series: str = choice(SERIES, "gradient", "Spectrum of")
    strips: str = choice(STRIPS, "loss", "Strips")
    table: str = choice(TABLES, "chatter", "Figures")
    reference: str = choice({key: lane.title for key, lane in LANES.items()}, "adamw", "Less")
    surface: str = choice(SURFACES, "heatmap", "Slice as")
    scale: str = choice(SCALES, "shared", "Axes")
    mark: float = number(0.01, 0.49, 0.1, "Mark")
    slice_resolution: int = number(9, 129, 33, "Slice points")
    map_resolution: int = number(5, 65, 15, "Map points")
    map_k: int = number(2, 64, 4, "Map probes k")
    map_sigma: float = number(1e-6, 10.0, 0.1, "Map radius σ")
    map_draws: str = choice(DRAWS, "shared", "Map directions")

    def __post_init__(self) -> None:
        check_fields(self)
        object.__setattr__(self, "lanes", checked_lanes(self.lanes))
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
    def name(self) -> str:
        """What a picture or a file of this experiment is headed with."""
        bits = {32: "not rounded"}.get(self.bits, ROUNDING[self.bits])
        rounding = [] if self.problem.is_function else [bits]
        seeds = seed_words(self.seed, self.seeds)
        return " · ".join([self.problem.name, *rounding, f"lr {self.lr:g}", seeds])

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds that are trained: `seeds` of them from `seed` on."""
        return tuple(range(self.seed, self.seed + self.seeds))

    def change(self, **changes: Any) -> Experiment:
        """A copy with some fields changed.

        A new scenario brings its own learning rate, batch, steps, rounding and start; a new plane
        or scenario shows its whole extent.
        """
        if changes.get("scenario") in SCENARIOS and changes["scenario"] != self.scenario:
            own = SCENARIOS[changes["scenario"]]
            bits = own.network.weight_bits if own.network else 32
            settings = {"lr": own.lr, "batch": own.batch, "steps": own.steps, "bits": bits}
            settings["x0"], settings["y0"] = STARTS.get(changes["scenario"], (0.0, 0.0))
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
                query[item.name] = to_text(value)
        return query

    @classmethod
    def from_query(cls, query: Mapping[str, Any], refused: list[str] | None = None) -> Experiment:
        """The experiment that a URL or a file names.

        Args:
            query: name -> value, as text or of the field's own kind; "v", where it is there,
                is the link's version.
            refused: takes a sentence for each that was not taken; None raises the first.

        Raises:
            ExperimentError: an unknown parameter, or a value that its field refuses.
        """
        return take_fields(cls(), "scenario", cls().change, query, refused)

    def to_json(self) -> str:
        """Every field, also those at their defaults, which may change; with the version."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return json.dumps({"v": VERSION} | values, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, refused: list[str] | None = None) -> Experiment:
        """The experiment that a file of `to_json` holds, or the file of a run.

        Args:
            text: the file, or its first `MOST_BYTES` + 1 bytes; anything may be in it.
            refused: takes a sentence for each field that was not taken; None raises the first.

        Raises:
            ExperimentError: it is no JSON object of an experiment; or, without `refused`, as
                `from_query`.
        """
        found = _parsed(text)
        if not isinstance(found, dict) or "v" not in found:
            what = "an object without v" if isinstance(found, dict) else "JSON of another kind"
            raise ExperimentError(f"The file holds {what}; expected {FILE}.")
        return cls.from_query(found, refused)


def _parsed(text: str | bytes) -> Any:
    """The JSON of a file, or the experiment that the file of a run begins with."""
    head = text[:MOST_BYTES]
    try:
        head = head if isinstance(head, str) else head.decode("utf-8-sig")
        run = RUN.match(head)
        if run:
            return json.JSONDecoder().raw_decode(head, run.end())[0]
        if len(text) <= MOST_BYTES:
            return json.loads(head)
    except (ValueError, RecursionError):  # bytes that are no text are a ValueError as well
        raise ExperimentError(f"The file is no JSON; expected {FILE}.") from None
    raise ExperimentError(
        f"The file has more than {MOST_BYTES:,} bytes and is no run's; expected {FILE}."
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
