"""The caller's closure at points beside the present parameters, leaving no trace behind.

After probing, parameters and (given the module) buffers hold exactly the bits they held before,
gradients are the ones that backward left, and random draws inside the closure have advanced as if
it had run once. All of it also when the closure raises.
"""

import inspect
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["Closure", "ClosureProbe", "call_closure", "random_state", "replayed"]

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


def _set_random_state(states: RandomState) -> None:
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
    _set_random_state(states)
    try:
        yield
    finally:
        _set_random_state(outside)


class _Carrier(nn.Module):
    """Holds a module while `functional_call` swaps its tensors and runs a closure that reads it."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, closure: Closure) -> Tensor | float:
        return closure(False)


class ClosureProbe:
    """Losses of a closure at theta + d_i for k displacements d_i.

    Args:
        module: the network that the closure reads. With it all probes run as one `vmap`, and its
            buffers (BatchNorm's statistics) are kept as they were; without it one by one.
    """

    def __init__(self, module: nn.Module | None) -> None:
        self.module = module
        named = () if module is None else module.named_parameters()
        self._names: dict[Tensor, str] = {p: name for name, p in named}
        self._vmap: bool | None = None if module is not None else False  # None: not yet tried

    def check_holds(self, params: Sequence[Tensor]) -> None:
        """Make sure that the module holds each of the parameters.

        Raises:
            ValueError: how many of them it does not hold.
        """
        strangers = 0 if self.module is None else sum(p not in self._names for p in params)
        if strangers:
            raise ValueError(
                f"module does not hold {strangers} of the {len(params)} parameters to optimize; "
                "give the module that they come from, or leave module out."
            )

    def losses(
        self,
        closure: Closure,
        params: Sequence[Tensor],
        displacement: Callable[[int], list[Tensor]],
        k: int,
        start: RandomState,
        loss: Tensor,
    ) -> Tensor:
        """The k probe losses, (k,).

        Args:
            closure: called with False only.
            params: the tensors to displace; the closure reads them.
            displacement: d_i of each of the params; asked once for each i = 0, ..., k - 1.
            k: number of probes.
            start: generator states from which each probe draws, see `random_state`.
            loss: f(theta), the yardstick of whether vmap and loop agree.
        """
        gradients = [(p, p.grad, _version(p.grad)) for p in params]
        try:
            if self._vmap is False or k == 1:
                return self._one_by_one(closure, params, displacement, k, start)
            return self._together(closure, params, displacement, k, start, loss)
        finally:
            for p, gradient, _ in gradients:
                p.grad = gradient
            if any(_version(gradient) != version for _, gradient, version in gradients):
                raise RuntimeError(
                    "closure(False) wrote into the gradients; call zero_grad() and backward() "
                    "only if backward is true."
                )

    def _one_by_one(
        self,
        closure: Closure,
        params: Sequence[Tensor],
        displacement: Callable[[int], list[Tensor]],
        k: int,
        start: RandomState,
    ) -> Tensor:
        """A plain loop; the parameters are copied back, since adding and subtracting drifts."""
        buffers = [] if self.module is None else list(self.module.buffers())
        saved = [(tensor, tensor.detach().clone()) for tensor in (*params, *buffers)]
        losses = []
        try:
            for i in range(k):
                moves = displacement(i)
                for (p, theta), d in zip(saved[: len(params)], moves, strict=True):
                    p.copy_(theta + d)
                with replayed(start):
                    losses.append(call_closure(closure, False))
        finally:
            for tensor, value in saved:
                tensor.copy_(value)
        return torch.stack(losses)

    def _together(
        self,
        closure: Closure,
        params: Sequence[Tensor],
        displacement: Callable[[int], list[Tensor]],
        k: int,
        start: RandomState,
        loss: Tensor,
    ) -> Tensor:
        """One vmap over the probes; on the first use held against the loop, and left if it fails.

        It can be silently wrong: a closure may reach parameters past the module, as a penalty over
        a list of them does, and then never sees them displaced.
        """
        assert self.module is not None
        moves = [displacement(i) for i in range(k)]
        stacked = {
            f"module.{self._names[p]}": p + torch.stack([move[j] for move in moves])
            for j, p in enumerate(params)
        }
        for name, buffer in self.module.named_buffers():
            stacked[f"module.{name}"] = buffer.expand(k, *buffer.shape).clone()
        carrier = _Carrier(self.module)

        def at(point: dict[str, Tensor]) -> Tensor:
            return torch.func.functional_call(carrier, point, (closure,))

        try:
            with replayed(start):
                losses = torch.func.vmap(at, randomness="same")(stacked)
            losses = losses.reshape(k).to(torch.promote_types(losses.dtype, torch.float32))
        except Exception as refusal:  # whatever vmap cannot take, the loop can
            reason = (str(refusal).splitlines() or [type(refusal).__name__])[0]
            self._leave_vmap(f"torch.func.vmap refused it ({reason})")
            return self._one_by_one(closure, params, moves.__getitem__, k, start)
        if self._vmap is None:
            loop = self._one_by_one(closure, params, moves.__getitem__, k, start)
            # Rounding moves a loss by a few eps, and a rounded network by a little more.
            slack = (
                0.05 * (loop - loss).abs().max() + 1e3 * torch.finfo(loss.dtype).eps * loss.abs()
            )
            if not bool(((losses - loop).abs() <= slack).all()):
                self._leave_vmap("under torch.func.vmap its losses differ from a plain loop's")
                return loop
            self._vmap = True
        return losses

    def _leave_vmap(self, why: str) -> None:
        self._vmap = False
        warnings.warn(
            f"SAdam probes this closure one by one, because {why}. The result is the same, only "
            "slower; leave module out to silence this.",
            stacklevel=4,
        )


def _version(gradient: Tensor | None) -> int | None:
    return None if gradient is None else gradient._version
