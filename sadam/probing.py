"""The losses of the caller's closure at displaced parameters, leaving no trace behind.

After probing, parameters and (given the module) buffers hold exactly the bits they held before,
gradients are the ones that backward left, and random draws inside the closure have advanced as if
it had run once. All of it also when the closure raises.
"""

import time
import warnings
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from sadam.closures import Closure, RandomState, call_closure, replayed, rewind
from sadam.flat import Block, copy_all
from sadam.points import Points

__all__ = ["ClosureProbe", "faster"]

# The short measurement: so many rounds, and no further one once the seconds have passed.
ROUNDS = 5
SECONDS = 0.5


class _Carrier(nn.Module):
    """Holds a module while `functional_call` swaps its tensors and runs a closure that reads it."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, closure: Closure) -> Tensor | float:
        return closure(False)


class ClosureProbe:
    """Losses of a closure at k points, one by one or as one vmap.

    Without the module the closure runs once a point. With it one vmap of the closure takes the
    network through all points, layer by layer; the first use holds that against the loop, measures
    which of them is faster, and keeps to it.

    Args:
        module: the network that the closure reads; its buffers (BatchNorm's statistics) are kept
            as they were. None: not known.

    Attributes:
        at_once: whether all points run as one vmap; None: not chosen yet.
    """

    def __init__(self, module: nn.Module | None) -> None:
        self.module = module
        self.at_once: bool | None = False if module is None else None
        named = () if module is None else module.named_parameters()
        self._names = {id(p): name for name, p in named}

    def check_holds(self, params: Sequence[Tensor]) -> None:
        """Make sure that the module holds each of the parameters.

        Raises:
            ValueError: how many of them it does not hold.
        """
        strangers = 0 if self.module is None else sum(id(p) not in self._names for p in params)
        if strangers:
            raise ValueError(
                f"module does not hold {strangers} of the {len(params)} parameters to optimize; "
                "give the module that they come from, or leave module out."
            )

    def losses(self, closure: Closure, points: Points, start: RandomState, loss: Tensor) -> Tensor:
        """The k probe losses, (k,).

        Args:
            closure: called with False only.
            points: where; the closure reads the tensors that they displace.
            start: generator states from which each probe draws, see `random_state`.
            loss: f(theta), the yardstick of whether vmap and loop agree.
        """
        params = [p for flat in points.flats for p in flat.tensors]
        gradients = [(p, p.grad, _version(p.grad)) for p in params]
        try:
            if self.at_once is False or points.k == 1:
                return self._one_by_one(closure, points, points.blocks(), start)
            return self._together(closure, points, start, loss)
        finally:
            for p, gradient, _ in gradients:
                p.grad = gradient
            if any(_version(gradient) != version for _, gradient, version in gradients):
                raise RuntimeError(
                    "closure(False) wrote into the gradients; call zero_grad() and backward() "
                    "only if backward is true."
                )

    def _one_by_one(
        self, closure: Closure, points: Points, blocks: Iterable[list[Block]], start: RandomState
    ) -> Tensor:
        """A plain loop; the parameters are copied back, since adding and subtracting drifts."""
        buffers = [] if self.module is None else list(self.module.buffers())
        saved = [buffer.clone() for buffer in buffers]
        losses = []
        try:
            for block in blocks:
                with replayed(start):
                    for row in zip(*(own.rows for own in block), strict=True):
                        for flat, parts in zip(points.flats, row, strict=True):
                            flat.write(parts)
                        rewind(start)
                        losses.append(call_closure(closure, False))
        finally:
            for flat in points.flats:
                flat.write()
            if buffers:
                copy_all(buffers, saved)
        return torch.stack(losses)

    def _together(
        self, closure: Closure, points: Points, start: RandomState, loss: Tensor
    ) -> Tensor:
        """One vmap over the points; the loop's losses at first, and where vmap fails.

        It can be silently wrong: a closure may reach parameters past the module, as a penalty over
        a list of them does, and then never sees them displaced.
        """
        block = points.together()

        def mapped() -> Tensor:
            return self._mapped(closure, points, block, start)

        def loop() -> Tensor:
            return self._one_by_one(closure, points, [block], start)

        try:
            losses = mapped()
        except Exception as refusal:  # whatever vmap cannot take, the loop can
            reason = (str(refusal).splitlines() or [type(refusal).__name__])[0]
            self._leave_vmap(f"torch.func.vmap refused it ({reason})")
            return loop()
        if self.at_once:
            return losses
        exact = loop()
        # Rounding moves a loss by a few eps, and a rounded network by a little more.
        slack = 0.05 * (exact - loss).abs().max() + 1e3 * torch.finfo(loss.dtype).eps * loss.abs()
        if bool(((losses - exact).abs() <= slack).all()):
            self.at_once = faster(mapped, loop)
        else:
            self._leave_vmap("under torch.func.vmap its losses differ from a plain loop's")
        return exact

    def _mapped(
        self, closure: Closure, points: Points, blocks: Sequence[Block], start: RandomState
    ) -> Tensor:
        assert self.module is not None
        stacked = {
            f"module.{self._names[id(p)]}": part
            for flat, block in zip(points.flats, blocks, strict=True)
            for p, part in zip(flat.tensors, flat.parts(block.points), strict=True)
        }
        for name, buffer in self.module.named_buffers():
            stacked[f"module.{name}"] = buffer.expand(points.k, *buffer.shape).clone()
        carrier = _Carrier(self.module)

        def at(point: dict[str, Tensor]) -> Tensor:
            return functional_call(carrier, point, (closure,))

        with replayed(start):
            losses = vmap(at, randomness="same")(stacked)
        return losses.reshape(points.k).to(torch.promote_types(losses.dtype, torch.float32))

    def _leave_vmap(self, why: str) -> None:
        self.at_once = False
        warnings.warn(
            f"SAdam probes this closure one by one, because {why}. The result is the same, only "
            "slower; leave module out to silence this.",
            stacklevel=4,
        )


def faster(one: Callable[[], Tensor], other: Callable[[], Tensor]) -> bool:
    """Whether one takes less time than the other, both run in turn for some rounds."""
    best = [float("inf"), float("inf")]
    begun = time.perf_counter()
    for _ in range(ROUNDS):
        for i, run in enumerate((one, other)):
            start = time.perf_counter()
            run().cpu()  # waits for an accelerator
            best[i] = min(best[i], time.perf_counter() - start)
        if time.perf_counter() - begun > SECONDS:
            break
    return best[0] < best[1]


def _version(gradient: Tensor | None) -> int | None:
    return None if gradient is None else gradient._version
