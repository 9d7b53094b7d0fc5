"""The numbers of all rules, checked. Free of torch.

`Ensemble` takes them as one frozen `Settings`; `SAdam` takes its own one by one, as the released
code does, and holds them to the same checks.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

__all__ = ["Settings", "Sphere", "check_settings"]

Sphere = Literal["tensor", "global"]

# name -> (lowest value, whether that value itself is allowed)
_LOWEST = {
    "lr": (0.0, True),
    "eps": (0.0, True),
    "weight_decay": (0.0, True),
    "sigma": (0.0, False),
    "lgi_lambda": (0.0, True),
    "stabilize_eps": (0.0, True),
    "lgi_cap": (0.0, False),
    "l1": (0.0, True),
}
# decays of one moment: at least 0 and below 1
_DECAYS = ("momentum", "rms_alpha")


@dataclass(frozen=True)
class Settings:
    """What every lane of an ensemble trains with.

    Args:
        lr: learning rate, >= 0; 1e-2 is the default scenario's, where 2-bit nets visibly chatter.
        betas: decay of the two moments, each in [0, 1).
        eps: inside, before the bias correction, >= 0.
        weight_decay: decoupled and never damped, >= 0.
        k_directions: k, probes a step, a whole number >= 1; k = 1 gives rho = 0.
        sigma: length of a probe in units of the parameters, > 0.
        lgi_lambda: strength of the damping, >= 0; 0 measures nothing and records nan.
        stabilize_eps: zeta, keeps rho finite where f is flat, >= 0.
        lgi_cap: largest rho that counts, > 0.
        sphere: "tensor" gives each tensor of a direction unit norm (the released code), "global"
            the whole direction (the paper).
        momentum: of SGD and Prox-SGD, in [0, 1); 0.9 is the paper's rival's.
        rms_alpha: decay of RMSprop's second moment, in [0, 1); torch's default.
        l1: Prox-SGD thresholds at lr * l1, >= 0; 1e-4 is the paper's rival's.
        total_steps: T of a cosine decay, a whole number >= 1; None where no lane decays so.
        lane_lr: pairs (key of a lane, its own lr in place of the common one), for optimizers that
            were tuned one by one.

    Raises:
        ValueError: a value outside its range.
    """

    lr: float = 1e-2
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 1e-2
    k_directions: int = 2
    sigma: float = 0.01
    lgi_lambda: float = 2.0
    stabilize_eps: float = 1e-6
    lgi_cap: float = 10.0
    sphere: Sphere = "tensor"
    momentum: float = 0.9
    rms_alpha: float = 0.99
    l1: float = 1e-4
    total_steps: int | None = None
    lane_lr: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        check_settings({field.name: getattr(self, field.name) for field in fields(self)})
        pairs = tuple((key, float(lr)) for key, lr in self.lane_lr)
        object.__setattr__(self, "lane_lr", pairs)

    def own_lr(self, key: str) -> float:
        """The learning rate of the lane of this key: its own, else the common one."""
        return dict(self.lane_lr).get(key, self.lr)


def check_settings(values: Mapping[str, Any]) -> None:
    """Hold each value to its range.

    Args:
        values: name -> value, under the names of `Settings`; other names are not looked at.

    Raises:
        ValueError: names the setting, what was found and what was expected.
    """
    for name, (lowest, inclusive) in _LOWEST.items():
        if name in values and not _is_number(values[name], lowest, inclusive):
            bound = "of at least" if inclusive else "above"
            raise ValueError(
                f"{name} is {values[name]!r}; give a finite number {bound} {lowest:g}."
            )
    if "betas" in values:
        betas = values["betas"]
        pair = isinstance(betas, tuple | list) and len(betas) == 2
        if not pair or not all(_is_number(beta, 0.0, True) and beta < 1 for beta in betas):
            raise ValueError(f"betas is {betas!r}; give two numbers, each at least 0 and below 1.")
    for name in _DECAYS:
        if name in values and not (_is_number(values[name], 0.0, True) and values[name] < 1):
            raise ValueError(
                f"{name} is {values[name]!r}; give a number of at least 0 and below 1."
            )
    for name, optional in (("k_directions", False), ("total_steps", True)):
        if name in values and not _is_count(values[name], optional):
            also = ", or None where no lane decays" * optional
            raise ValueError(
                f"{name} is {values[name]!r}; give a whole number of at least 1{also}."
            )
    if "lane_lr" in values and not _are_rates(values["lane_lr"]):
        raise ValueError(
            f"lane_lr is {values['lane_lr']!r}; give pairs of a lane's key, each key once, and a "
            "finite learning rate of at least 0, such as (('sgd', 0.1),)."
        )
    if "sphere" in values and values["sphere"] not in get_args(Sphere):
        raise ValueError(f"sphere is {values['sphere']!r}; give 'tensor' or 'global'.")


def _is_count(value: Any, optional: bool) -> bool:
    """Whether value is a whole number from 1 on, or None where that may be."""
    if value is None:
        return optional
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _are_rates(pairs: Any) -> bool:
    """Whether these are (key, learning rate) pairs, no key twice."""
    if not isinstance(pairs, tuple | list):
        return False
    whole = all(
        isinstance(pair, tuple | list)
        and len(pair) == 2
        and isinstance(pair[0], str)
        and _is_number(pair[1], 0.0, True)
        for pair in pairs
    )
    return whole and len({key for key, _ in pairs}) == len(pairs)


def _is_number(value: Any, lowest: float, inclusive: bool) -> bool:
    """Whether value is one finite number from lowest on; a tensor of one element is a number."""
    if isinstance(value, str | bytes | bool):
        return False
    try:
        number = float(value)
    except (TypeError, ValueError, RuntimeError):
        return False
    return math.isfinite(number) and (number >= lowest if inclusive else number > lowest)
