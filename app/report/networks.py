"""Which network a file's tensors are: a demo network, a plain stack, or a registered one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from app.checkpoints.errors import shown
from app.experiment import ROUNDING
from app.report.network import Factory, Gap, Network, NetworkProblem, own_names
from app.report.registered import made, with_weights
from app.report.stacks import (
    Layer,
    Placement,
    StackProblem,
    build_stack,
    placements,
    read_layers,
)
from demo_models.problem import Problem, build
from demo_models.scenario import BUILT_IN, Scenario
from demo_models.scenarios import SCENARIOS

#: What an inferred stack is called in choices and reports.
INFERRED = "inferred"
#: The plain values by which a file of the lab names its scenario and that one's rounding.
NAMED, BITS = "scenario", "bits"


def networks_of(
    tensors: Mapping[str, Tensor],
    *,
    values: Mapping[str, Any] | None = None,
    factory: Factory | None = None,
    activation: str | None = None,
    features: int | None = None,
) -> list[Network]:
    """Every network that a file's tensors may be, likelier ones first.

    Args:
        tensors: name -> tensor, as `read_checkpoint` gives them.
        values: the file's plain values; where they name a scenario that fits it is certain.
        factory: the server owner's own network; where it fits it comes first, and where it does
            not it is passed over. See `registered_network` for the refusal.
        activation: "relu", "gelu" or "tanh", which files do not say: of an inferred stack, and
            then of demo networks too. None takes any demo network, and ReLU for a stack.
        features: numbers a sample of the user's data; None where there is none.

    Raises:
        NetworkProblem: none fits; the text lists how the nearest layout differs.
    """
    found: list[Network] = []
    gaps: list[tuple[str, Gap]] = []
    if factory is not None:
        module = made(factory)
        gap = Gap.between(module.state_dict(), tensors)
        gaps.append(("the registered network", gap))
        if not gap.wide:
            found.append(with_weights(module, tensors))
    named = _named(values or {})
    scenarios = [s for s in _demos() if named is None or _alike(s) != _alike(named)]
    for scenario in scenarios if named is None else [named, *scenarios]:
        spec = scenario.network
        assert spec is not None
        gap = Gap.between(_layout(scenario), tensors)
        gaps.append((scenario.name, gap))
        if not gap.wide and activation in (None, spec.activation):
            found.append(_demo(scenario, tensors, certain=scenario == named))
    try:
        found += _inferred(tensors, activation or "relu", features)
    except StackProblem as reason:
        if not found:
            raise NetworkProblem(_no_network(reason, gaps)) from reason
    return found


def chosen_networks(networks: Sequence[Network], key: str | None) -> list[Network]:
    """Those that a person means by a key.

    Args:
        networks: of `networks_of`.
        key: None for all of them, a network's key, or "inferred" for every placement of pools.

    Raises:
        NetworkProblem: none has that key.
    """
    if key is None:
        return list(networks)
    found = [n for n in networks if n.key == key or (key == INFERRED and n.key.startswith(key))]
    if not found:
        raise NetworkProblem(
            f"The network {shown(key)} does not fit the file; expected one of "
            f"{', '.join(network.key for network in networks)}: choose one of these."
        )
    return found


def _named(values: Mapping[str, Any]) -> Scenario | None:
    """The scenario that a file names, as one that the lab saved does, rounded as it says."""
    name, bits = values.get(NAMED), values.get(BITS)
    scenario = SCENARIOS.get(name) if isinstance(name, str) else None
    if scenario is None or scenario.network is None or scenario.data not in BUILT_IN:
        return None
    return scenario.rounded(bits) if isinstance(bits, int) and bits in ROUNDING else scenario


def _alike(scenario: Scenario) -> tuple[object, ...]:
    """What a file cannot tell apart: batch, label noise and learning rate differ beside it."""
    return (scenario.network, scenario.data)


@lru_cache(maxsize=1)
def _demos() -> tuple[Scenario, ...]:
    """One scenario a network and data set."""
    found: dict[object, Scenario] = {}
    for scenario in SCENARIOS.values():
        if scenario.network is not None and scenario.data in BUILT_IN:
            found.setdefault(_alike(scenario), scenario)
    return tuple(found.values())


@lru_cache(maxsize=32)
def _layout(scenario: Scenario) -> dict[str, Tensor]:
    """Names and empty tensors of a scenario's network."""
    state = problem_of(scenario).network(0).state_dict()
    return {name: torch.empty_like(tensor, device="meta") for name, tensor in state.items()}


@lru_cache(maxsize=32)
def problem_of(scenario: Scenario) -> Problem:
    """The scenario's samples and network, kept: building one splits its data anew."""
    return build(scenario)


def _demo(scenario: Scenario, tensors: Mapping[str, Tensor], *, certain: bool) -> Network:
    problem = problem_of(scenario)
    spec, train = scenario.network, problem.train
    assert spec is not None
    assert train is not None
    module = problem.network(0)
    module.load_state_dict(dict(tensors))
    known = "The file names" if certain else "Names and shapes are those of"
    layout = f"{known} the demo network “{scenario.title}”"
    assumptions = [f"{layout}, activation {spec.activation}."]
    if spec.weight_bits < 32:
        assumptions.append(
            "Losses are those of the rounded network; gradients are the straight-through "
            "surrogate's."
        )
    if any(isinstance(layer, _BatchNorm) for layer in module.modules()):
        assumptions.append("Batch normalisation uses the batch's own statistics, as the lab does.")
    own = scenario == SCENARIOS[scenario.key]
    return Network(
        scenario.key if own else f"{scenario.key}-{spec.weight_bits}",
        f"{scenario.title}, {spec.activation}",
        module,
        own_names(module),
        tuple(assumptions),
        scenario,
        spec.weight_bits < 32,
        (train[0].shape[1],),
        problem.classes,
        certain,
    )


def _inferred(
    tensors: Mapping[str, Tensor], activation: str, features: int | None
) -> list[Network]:
    layers = read_layers(tensors)
    if not layers[0].convolves:
        return [_stack(layers, activation, None, 1)]
    found = placements(layers, features)
    if not found:
        given = "the usual square images" if features is None else f"{features} numbers a sample"
        wanted = layers[_convolutions(layers)].weight.shape[1]
        raise StackProblem(
            f"no padding and pooling of {given} leaves the {wanted} numbers that its first Linear "
            "takes"
        )
    return [_stack(layers, activation, placement, len(found)) for placement in found]


def _stack(
    layers: Sequence[Layer], activation: str, placement: Placement | None, ways: int
) -> Network:
    module, names = build_stack(layers, activation, placement)
    widths = [str(layers[0].weight.shape[1]), *(str(len(layer.weight)) for layer in layers)]
    assumptions = [
        "A plain stack, in the order that the shapes give: "
        + ", ".join(shown(layer.name) for layer in layers)
        + ".",
        f"Activation {activation} after every layer but the last; nothing is rounded.",
    ]
    key, what = INFERRED, "MLP"
    shape: tuple[int, ...] = (layers[0].weight.shape[1],)
    if placement is not None:
        convolutions = _convolutions(layers)
        kind, what = _placed(placement, convolutions)
        assumptions.append(kind)
        if ways > 1:
            assumptions.append(f"The shapes allow {ways} placements of pools and padding.")
            key = f"{INFERRED}-{'same' if placement.padding else 'valid'}" + "".join(
                f"-{pool}" for pool in placement.pools
            )
        shape = (layers[0].weight.shape[1] * placement.side**2,)
    title = f"plain {what}, {'-'.join(widths)}, {activation}"
    classes = len(layers[-1].weight)
    return Network(key, title, module, names, tuple(assumptions), shape=shape, classes=classes)


def _placed(placement: Placement, convolutions: int) -> tuple[str, str]:
    """A placement as an assumption, and in a title."""
    side, pools = placement.side, placement.pools
    where = "no pooling"
    if pools:
        every = len(pools) == convolutions
        where = "MaxPool2d(2) after " + (
            "every convolution" if every else f"convolution {', '.join(map(str, pools))}"
        )
    padding = "keep the side" if placement.padding else "have no padding"
    sentence = f"Images of {side} x {side}; convolutions {padding}, stride 1; {where}."
    return sentence, f"CNN with {where}{'' if placement.padding else ', no padding'}"


def _convolutions(layers: Sequence[Layer]) -> int:
    return sum(layer.convolves for layer in layers)


def _no_network(reason: StackProblem, gaps: Sequence[tuple[str, Gap]]) -> str:
    # The registered network stands first and is meant, unless another is clearly nearer.
    name, nearest = max(gaps, key=lambda pair: pair[1].shared)
    text = f"The file's tensors fit no network: {reason}"
    if nearest.shared:
        text += f"; nearest is {name} ({nearest.words})"
    return (
        f"{text}; expected a demo network, or a plain stack of Linear layers or of Conv2d, "
        "MaxPool2d and Linear: register your own network when the server starts, "
        "python -m app serve --model mypackage.mymodule:build."
    )
