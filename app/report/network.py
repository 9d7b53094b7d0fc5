"""One network with a file's weights, and how a file differs from a layout."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor, nn

from app.checkpoints.errors import shown
from demo_models.scenario import Scenario

#: Names of each kind that a near miss lists.
LISTED = 10

Factory = Callable[[], nn.Module]


class NetworkProblem(ValueError):  # noqa: N818 (a sentence for the person who brought the file)
    """No network fits the file; one sentence, with names out of it escaped by `shown`."""


@dataclass(frozen=True, eq=False)
class Network:
    """A network with the file's weights.

    Args:
        key: what `--network` and the page's choice call it.
        title: in words.
        module: with the file's weights, float32, on the CPU, in the mode it is measured in.
        names: its parameters' names -> the file's.
        assumptions: what the file does not say, each a sentence.
        scenario: the demo scenario, or None.
        surrogate: whether gradients are a straight-through estimator's.
        shape: of one sample, where it follows; None for a registered network.
        classes: width of the output; None for a registered network until it is run.
        certain: whether it is known and not guessed: the server's owner or the file names it.
    """

    key: str
    title: str
    module: nn.Module
    names: Mapping[str, str]
    assumptions: tuple[str, ...] = ()
    scenario: Scenario | None = None
    surrogate: bool = False
    shape: tuple[int, ...] | None = None
    classes: int | None = None
    certain: bool = False

    def with_tensors(self, tensors: Mapping[str, Tensor]) -> Network:
        """The same network with another file's weights, for two checkpoints of one run.

        Raises:
            NetworkProblem: the other file's tensors have other names or shapes.
        """
        module = copy.deepcopy(self.module)
        own = {self.names.get(name, name): t for name, t in module.state_dict().items()}
        gap = Gap.between(own, tensors)
        if gap.wide:
            raise NetworkProblem(
                f"The second file is another network than the first ({self.title}): {gap.words}; "
                "expected the same names and shapes: upload two checkpoints of one network."
            )
        module.load_state_dict({n: tensors[self.names.get(n, n)] for n in module.state_dict()})
        return replace(self, module=module)


@dataclass(frozen=True)
class Gap:
    """How a file's tensors differ from a network's layout; names are the file's or the layout's."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshaped: tuple[str, ...]
    shared: int = field(default=0, compare=False)

    @classmethod
    def between(cls, layout: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> Gap:
        """Compare a layout with what a file holds."""
        both = [name for name in layout if name in tensors]
        misshaped = [
            f"{shown(name)} has shape {tuple(tensors[name].shape)}, expected "
            f"{tuple(layout[name].shape)}"
            for name in both
            if tensors[name].shape != layout[name].shape
        ]
        return cls(
            tuple(shown(name) for name in layout if name not in tensors),
            tuple(shown(name) for name in tensors if name not in layout),
            tuple(misshaped),
            len(both) - len(misshaped),
        )

    @property
    def wide(self) -> bool:
        """Whether anything differs."""
        return bool(self.missing or self.unexpected or self.misshaped)

    @property
    def words(self) -> str:
        """What is missing, unexpected and misshaped, at most ten of each."""
        kinds = ("missing", "unexpected", "misshaped")
        return "; ".join(
            f"{kind}: {_listed(getattr(self, kind))}" for kind in kinds if getattr(self, kind)
        )


def own_names(module: nn.Module) -> dict[str, str]:
    """Names of a module whose parameters are named as in the file."""
    return {name: name for name, _ in module.named_parameters()}


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    more = f" and {len(every) - LISTED} more" if len(every) > LISTED else ""
    return ", ".join(every[:LISTED]) + more
