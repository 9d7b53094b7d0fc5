"""The network of the server's owner: a factory named when the server or the command starts."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import cast

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from app.report.network import Factory, Gap, Network, NetworkProblem, own_names

#: What the owner's network is called in choices and reports.
REGISTERED = "registered"

_registered: list[Factory] = []


class ModelError(ValueError):
    """What is wrong with a --model, in one sentence."""


def load_factory(name: str) -> Factory:
    """The factory that `mypackage.mymodule:build` names.

    It is imported and later called: code that whoever starts the server trusts. Nothing that is
    uploaded is ever run.

    Args:
        name: module and function, importable from the folder that the command runs in.

    Raises:
        ModelError: there is no such function.
    """
    module_name, _, function = name.partition(":")
    if not module_name or not function:
        raise ModelError(
            f"--model is {name!r}; expected MODULE:FUNCTION, such as mypackage.mymodule:build."
        )
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ModelError(
            f"--model names the module {module_name!r}, which was not imported ({error}); expected "
            "a module that `python -c 'import …'` finds: run the command in its folder."
        ) from error
    factory = getattr(module, function, None)
    if not callable(factory):
        raise ModelError(
            f"--model names {function!r}, which {module_name} does not define as a function; "
            "expected one without arguments that returns a torch.nn.Module."
        )
    return cast("Factory", factory)


def register(factory: Factory) -> None:
    """Offer this network to every upload of this process."""
    _registered[:] = [factory]


def registered() -> Factory | None:
    """The network that was registered, or None."""
    return _registered[0] if _registered else None


def registered_misfit(tensors: Mapping[str, Tensor], factory: Factory) -> str:
    """Why a file is not the registered network: at most ten names of each kind; "" where it is."""
    module = made(factory)
    gap = Gap.between(module.state_dict(), tensors)
    if not gap.wide:
        return ""
    return (
        f"The file does not fit the registered network, a {type(module).__name__}: {gap.words}; "
        "expected the names and shapes of its state_dict: register the network that the file was "
        "saved from."
    )


def registered_network(tensors: Mapping[str, Tensor], factory: Factory) -> Network:
    """The registered network with a file's weights.

    Raises:
        NetworkProblem: names or shapes differ; the text lists at most ten of each kind.
    """
    if misfit := registered_misfit(tensors, factory):
        raise NetworkProblem(misfit)
    return with_weights(made(factory), tensors)


def with_weights(module: nn.Module, tensors: Mapping[str, Tensor]) -> Network:
    """The registered network as `made`, with the weights of a file that fits it."""
    module.load_state_dict(dict(tensors))
    module.eval()
    assumptions = ["The network is the one that the server's owner registered, in evaluation mode."]
    if any(isinstance(layer, _BatchNorm) for layer in module.modules()):
        assumptions.append("Batch normalisation uses the running statistics of the file.")
    title = f"registered network, {type(module).__name__}"
    return Network(REGISTERED, title, module, own_names(module), tuple(assumptions), certain=True)


def made(factory: Factory) -> nn.Module:
    """A fresh module of the factory, as float32 on the CPU.

    Raises:
        NetworkProblem: it returns something else, or needs arguments.
    """
    try:
        module = factory()
    except TypeError as error:
        raise NetworkProblem(
            f"The registered factory was not called without arguments ({error}); expected a "
            "function without any: wrap it in one."
        ) from error
    if not isinstance(module, nn.Module):
        raise NetworkProblem(
            f"The registered factory returned a {type(module).__name__}; expected a "
            "torch.nn.Module: register a function without arguments that builds the network."
        )
    return module.float().cpu()
