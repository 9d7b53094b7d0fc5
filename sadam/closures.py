"""Calling the caller's closure: its answer checked, its random draws replayed."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

__all__ = ["Closure", "RandomState", "call_closure", "random_state", "replayed", "rewind"]

Closure = Callable[[bool], Tensor | float]
RandomState = dict[torch.device, Tensor]


def call_closure(closure: Closure, backward: bool) -> Tensor:
    """The closure's loss as a detached scalar of at least float32.

    Raises:
        TypeError: the closure does not take `backward`.
        ValueError: it returned nothing, or more than one number.
    """
    try:
        loss = closure(backward)
    except TypeError:
        if not _takes_backward(closure):
            raise TypeError(
                "the closure does not take one argument; write `def closure(backward)`, return "
                "the loss, and call loss.backward() only if backward is true."
            ) from None
        raise
    if loss is None:
        raise ValueError(
            f"closure({backward}) returned None; return the loss, also when backward is false."
        )
    loss = torch.as_tensor(loss).detach()
    if loss.numel() != 1:
        raise ValueError(
            f"closure({backward}) returned a tensor of shape {tuple(loss.shape)}; return one "
            "number, such as the mean over the mini-batch."
        )
    return loss.reshape(()).to(torch.promote_types(loss.dtype, torch.float32))


def _takes_backward(closure: Closure) -> bool:
    try:
        inspect.signature(closure).bind(True)
    except TypeError:
        return False
    return True


def random_state(devices: set[torch.device]) -> RandomState:
    """The state of the global generators that a closure on these devices may draw from."""
    states = {torch.device("cpu"): torch.get_rng_state()}
    for device in devices:
        if device.type == "cuda":
            states[device] = torch.cuda.get_rng_state(device)
        elif device.type == "mps":
            states[device] = torch.mps.get_rng_state()
    return states


def rewind(states: RandomState) -> None:
    """Draw from `states` on."""
    for device, state in states.items():
        if device.type == "cuda":
            torch.cuda.set_rng_state(state, device)
        elif device.type == "mps":
            torch.mps.set_rng_state(state)
        else:
            torch.set_rng_state(state)


@contextmanager
def replayed(states: RandomState) -> Iterator[None]:
    """Draw inside from `states` on; draw afterwards as if nothing had been drawn inside."""
    outside = random_state(set(states))
    rewind(states)
    try:
        yield
    finally:
        rewind(outside)
