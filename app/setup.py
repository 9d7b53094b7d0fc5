"""The one declared state of the page Instruments: every control is a field of `Setup`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from app.fields import ExperimentError, check_fields, choice, number, take_fields, to_text
from demo_models.known import KNOWN
from demo_models.scenarios import SCENARIOS
from demo_models.truth import Known

#: Small networks at their initial weights: the same one, smooth, with kinks and with stairs.
NETWORKS = {
    "digits-gelu": "Digits, MLP with GELU",
    "digits-32bit": "Digits, MLP with ReLU",
    "digits-4bit": "Digits, MLP with ReLU, 4 bits",
    "digits-2bit": "Digits, MLP with ReLU, 2 bits",
}
SUBJECTS = {key: known.title for key, known in KNOWN.items()} | NETWORKS
DTYPES = {"float64": "float64", "float32": "float32"}
SPHERES = {"tensor": "Each tensor", "global": "All parameters"}
SAMPLED = {
    "lgi": "LGI",
    "variance": "Variance",
    "asymmetry": "Asymmetry",
    "holder": "Hölder exponent",
    "roughness": "Roughness",
}
DEFAULT = "abs"
#: A network is shown on a square of this half width, in filter-normalised random directions.
NETWORK_EXTENT = (-1.0, 1.0, -1.0, 1.0)
NETWORK_PLACES = (("at the initial weights", (0.0, 0.0)),)
#: A network's gradients and losses are dear: fewer of them to begin with.
FUNCTION_COST = {"draws": 400, "samples": 64}
NETWORK_COST = {"draws": 100, "samples": 16}
#: Fields that change only what is drawn of the same measurements.
DRAWN = frozenset({"shown", "lgi_lambda"})


@dataclass(frozen=True)
class Setup:
    """What is measured, where and how; immutable and always valid.

    A network has its own number of parameters, and `size` is 2 for it as for every function of
    two parameters.

    Raises:
        ExperimentError: one sentence with the field, the value found and the range expected.
    """

    function: str = choice(SUBJECTS, DEFAULT, "Function")
    size: int = number(2, 2000, 2, "Parameters P")
    x: float = field(default=0.0, metadata={"label": "Point x"})
    y: float = field(default=0.0, metadata={"label": "Point y"})
    k: int = number(2, 64, 2, "Probes k")
    sigma: float = number(1e-6, 10.0, 0.01, "Radius σ")
    lgi_lambda: float = number(0.0, 100.0, 2.0, "Strength λ")
    zeta: float = number(0.0, 1.0, 1e-6, "Guard ζ")
    dtype: str = choice(DTYPES, "float64", "Numbers")
    sphere: str = choice(SPHERES, "tensor", "Unit length of")
    seed: int = number(0, 999_999, 0, "Seed")
    draws: int = number(20, 5000, FUNCTION_COST["draws"], "Draws")
    samples: int = number(2, 512, FUNCTION_COST["samples"], "Gradients m")
    shown: str = choice(SAMPLED, "lgi", "Distribution of")

    def __post_init__(self) -> None:
        check_fields(self)
        x0, x1, y0, y1 = self.extent
        for name, low, high in (("x", x0, x1), ("y", y0, y1)):
            object.__setattr__(self, name, _checked_place(self, name, low, high))
        if self.size != 2 and not self.any_size:
            raise ExperimentError(
                f"Parameters P (size) is {self.size}; expected 2, as "
                f"{SUBJECTS[self.function]} comes in one size alone."
            )

    @property
    def known(self) -> Known | None:
        """The function with known answers, or None for a network."""
        return KNOWN.get(self.function)

    @property
    def any_size(self) -> bool:
        """Whether the number of parameters can be chosen."""
        return self.known is not None and self.known.any_size

    @property
    def places(self) -> tuple[tuple[str, tuple[float, float]], ...]:
        """Named points (x, y) worth a look; the first is where a function opens."""
        return NETWORK_PLACES if self.known is None else self.known.places

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """The part of the plane that is drawn, (x0, x1, y0, y1)."""
        return NETWORK_EXTENT if self.known is None else self.known.extent

    @property
    def place(self) -> str:
        """The name of the place that the point is at, or ""."""
        return next((name for name, at in self.places if at == (self.x, self.y)), "")

    @property
    def name(self) -> str:
        """What a picture or a file of this setup is headed with."""
        size = f"P {self.size} · " if self.any_size else ""
        probes = f"k {self.k} · σ {self.sigma:g} · {self.dtype} · seed {self.seed}"
        return f"{SUBJECTS[self.function]} at ({self.x:.3g}, {self.y:.3g}) · {size}{probes}"

    @property
    def surrogate(self) -> bool:
        """Whether gradients are a straight-through estimator's and not the loss's own."""
        network = None if self.known else SCENARIOS[self.function].network
        return network is not None and network.weight_bits < 32

    def change(self, **changes: Any) -> Setup:
        """A copy with some fields changed; another function opens at its own first place."""
        name = changes.get("function", self.function)
        if name != self.function and name in SUBJECTS:
            known = KNOWN.get(name)
            x, y = (known.places if known else NETWORK_PLACES)[0][1]
            size = self.size if known is not None and known.any_size else 2
            cost: dict[str, int] = {}
            if (known is None) != (self.known is None):
                cost = NETWORK_COST if known is None else FUNCTION_COST
            changes = {"x": x, "y": y, "size": size} | cost | changes
        return replace(self, **changes)

    def measures_as(self, other: Setup) -> bool:
        """Whether what is measured is the same, however it is drawn."""
        names = (item.name for item in fields(self) if item.name not in DRAWN)
        return all(getattr(self, name) == getattr(other, name) for name in names)

    def same_subject(self, other: Setup) -> bool:
        """Whether both measure one function on one plane in one dtype."""
        names = ("function", "size", "dtype")
        # The seed draws a network's weights and its plane; a function has neither.
        names = (*names, "seed") if self.known is None else names
        return all(getattr(self, name) == getattr(other, name) for name in names)

    def to_query(self) -> dict[str, str]:
        """The fields that differ from the function's defaults, as URL parameters."""
        default = Setup().change(function=self.function)
        query = {} if self.function == DEFAULT else {"function": self.function}
        for item in fields(self):
            value = getattr(self, item.name)
            if value != getattr(default, item.name):
                query[item.name] = to_text(value)
        return query

    @classmethod
    def from_query(cls, query: Mapping[str, Any], refused: list[str] | None = None) -> Setup:
        """The setup that a URL names.

        Args:
            query: the URL's parameters.
            refused: takes a sentence for each that was not taken; None raises the first.

        Raises:
            ExperimentError: an unknown parameter, or a value that its field refuses.
        """
        return take_fields(cls(), "function", cls().change, query, refused)


def _checked_place(setup: Setup, name: str, low: float, high: float) -> float:
    """A coordinate within the part of the plane that is drawn."""
    value = getattr(setup, name)
    found = f"{value:g}" if isinstance(value, float) else ascii(value)[:60]
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if isinstance(value, bool) or not low <= number <= high:
        raise ExperimentError(
            f"Point {name} ({name}) is {found}; expected a number from {low:g} to {high:g}, the "
            "part of the plane that is drawn."
        )
    return number
