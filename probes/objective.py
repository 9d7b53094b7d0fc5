"""Objective: a loss as a function of flat parameter vectors, at many points at once."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import grad_and_value, vmap

from probes.evaluators.general import looped_losses, mapped_losses, mapped_slopes, summed_slopes
from probes.evaluators.layered import Layered
from probes.evaluators.precision import whole_float32
from probes.evaluators.reading import RefusedError
from probes.frozen import ModuleLoss, frozen_copy
from probes.layout import Batch, Entry, checked_points, described, fitted_batch, flattened
from probes.memory import Footprint, footprint, in_chunks, megabytes, memory_budget

# Activations of one chunk that stay near a CPU's cache; measured best between 2 and 8 MB.
CACHE_BYTES = 4_000_000
# Below this many points a chunk, vmap costs more than it saves on a CPU (measured).
SMALLEST_CPU_CHUNK = 8


class Objective:
    """A loss f: R^P -> R that can be evaluated at many points at once.

    Build it with `from_module` or `from_function`. It owns a deep copy of the module, so nothing
    that it does reaches the given one: parameters, running statistics and the global random
    generator stay untouched. One objective serves ONE thread; give another thread its `copy()`.

    On an NVIDIA GPU convolutions take TF32 only where matrix products are asked to, see
    `probes.evaluators.precision`.

    With a straight-through estimator inside the module, `losses` sees the real, rounded loss and
    `gradients` the surrogate's gradient.

    Attributes:
        theta: the parameters at build time, (P,).
        layout: one `Entry` a parameter tensor, in the order of `named_parameters`.
        supports_vmap: whether `vmap(grad_and_value(objective.loss))` works.
        memory_bytes: what one call may use.
    """

    def __init__(
        self,
        theta: Tensor,
        layout: tuple[Entry, ...],
        *,
        source: ModuleLoss | Callable[[Tensor], Tensor],
        memory_mb: float | None = None,
    ) -> None:
        self.theta = theta
        self.layout = layout
        self.memory_bytes = memory_budget(theta.device, memory_mb)
        self._source = source
        self._footprint: Footprint | None = None
        self._layered: Layered | str | None = None  # None: not tried yet; str: why it is refused
        self._largest_chunk = 2**31
        self._check_value()
        self._refusal = self._vmap_refusal()
        self.supports_vmap = not self._refusal

    @classmethod
    def from_module(
        cls,
        module: nn.Module,
        loss_fn: Callable[[Any, Any], Tensor],
        batch: Batch,
        *,
        dtype: torch.dtype | None = None,
        memory_mb: float | None = None,
    ) -> Objective:
        """The loss of a module on one batch, as a function of its trainable parameters.

        f(theta) = loss_fn(module_theta(inputs), targets). Batch normalisation in training mode
        uses the batch's statistics and writes none; `nn.Dropout` in training mode keeps one mask.

        Args:
            module: deep-copied; parameters with requires_grad make up theta, all else is fixed.
            loss_fn: (output, targets) -> scalar.
            batch: (inputs, targets), moved to the module's device and floating-point dtype.
            dtype: None keeps the module's own. float64 resolves smaller differences.
            memory_mb: megabytes a call may use; None: CHATTERSCOPE_MEMORY_MB, or 256 on a CPU and
                1024 on an accelerator.

        Returns:
            The objective.

        Raises:
            TypeError, ValueError: the module, batch or loss does not fit; the text says how.
        """
        frozen = frozen_copy(module)
        if dtype is not None:
            frozen = frozen.to(dtype)
        theta, layout = flattened(frozen)
        source = ModuleLoss(frozen, loss_fn, layout, fitted_batch(batch, theta))
        return cls(theta, layout, source=source, memory_mb=memory_mb)

    @classmethod
    def from_function(
        cls, f: Callable[[Tensor], Tensor], theta: Tensor, *, memory_mb: float | None = None
    ) -> Objective:
        """A function of flat vectors as an objective.

        Args:
            f: (G, P) -> (G,), every row on its own, made of torch operations.
            theta: the starting point, (P,), floating point.
            memory_mb: as in `from_module`.

        Returns:
            The objective; its layout is one tensor named "theta".

        Raises:
            TypeError, ValueError: theta or the shape of f's answer does not fit.
        """
        if not isinstance(theta, Tensor) or not theta.is_floating_point():
            raise TypeError(f"theta is {described(theta)}, expected a floating-point tensor.")
        if theta.dim() != 1 or theta.numel() == 0:
            raise ValueError(f"theta has shape {tuple(theta.shape)}, expected (P,), P at least 1.")
        entry = Entry("theta", tuple(theta.shape), 0, theta.numel())
        return cls(theta.detach().clone(), (entry,), source=f, memory_mb=memory_mb)

    @property
    def batch(self) -> Batch | None:
        """The data (inputs, targets); None for a function."""
        return self._source.batch if isinstance(self._source, ModuleLoss) else None

    @property
    def size(self) -> int:
        """The number of parameters P."""
        return self.theta.numel()

    @property
    def device(self) -> torch.device:
        """Where everything is evaluated."""
        return self.theta.device

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type of points, losses and gradients."""
        return self.theta.dtype

    @property
    def points_in_budget(self) -> int:
        """How many points, P numbers each, the memory budget holds; at least 1."""
        return max(1, self.memory_bytes // self.theta.nbytes)

    @property
    def evaluator(self) -> Literal["layered", "vmap", "loop", "function"]:
        """What evaluates losses at many points, see `probes.evaluators`.

        "layered" where the module is a stack of known layers on a CPU, else "vmap", or a "loop"
        over points; for a function the "function" itself. Gradients take "vmap" or the "loop".
        """
        return self._general if isinstance(self._by_layers(), str) else "layered"

    @property
    def why(self) -> str:
        """A sentence: why no faster evaluator is used; "" where there is none."""
        if self._refusal or self.evaluator in ("layered", "function"):
            return self._refusal
        slow = f"Layer by layer is not possible: {self._by_layers()}."
        if self._general == "vmap":
            return slow
        widest = megabytes(self._measured().widest)
        return f"{slow} A tensor of {widest} a point leaves vmap no gain over a loop on a CPU."

    def loss(self, theta: Tensor, batch: Batch | None = None) -> Tensor:
        """f at ONE point: pure, so torch.func can transform it (vmap, grad).

        Args:
            theta: (P,).
            batch: (inputs, targets) used as they are, in place of the objective's own; None for
                a function.

        Returns:
            A scalar.

        Raises:
            ValueError: a function was given a batch.
        """
        if isinstance(self._source, ModuleLoss):
            return self._source(theta, batch)
        if batch is not None:
            raise ValueError("A function has no batch, but one was given: pass batch=None.")
        return self._source(theta[None])[0]

    def losses(self, points: Tensor) -> Tensor:
        """f at G points, without a gradient.

        Args:
            points: (G, P), floating point; converted to the objective's dtype and device.

        Returns:
            (G,).

        Raises:
            TypeError, ValueError: the points are not a floating-point (G, P) tensor.
            MemoryError: not even one point fits.
        """
        return self._in_chunks(self._values, checked_points(points, self.theta))

    def spanned(self, origin: Tensor, axes: Tensor) -> Callable[[Tensor], Tensor]:
        """The losses at origin + coordinates @ axes, as a function of the coordinates.

        Where the layers allow it this is faster than `losses` of the points: a first layer that is
        not rounded is linear in the coordinates, so its products with the data are made once.

        Args:
            origin: (P,), floating point.
            axes: (K, P).

        Returns:
            coordinates (G, K) -> losses (G,), for this objective's thread and data.

        Raises:
            TypeError, ValueError: origin or axes do not fit.
        """
        origin = checked_points(origin[None], self.theta)[0]
        axes = checked_points(axes, self.theta)
        layered = self._by_layers()
        with torch.no_grad():
            prepared = None if isinstance(layered, str) else layered.spanned(origin, axes)
        evaluate = prepared or (lambda part: self._values(origin + part @ axes))
        return lambda coordinates: self._in_chunks(evaluate, coordinates.to(axes))

    def gradients(self, points: Tensor) -> Tensor:
        """The gradient of f at G points, (G, P) -> (G, P); raises as `losses` does."""
        return self.losses_and_gradients(points)[1]

    def losses_and_gradients(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """f and its gradient at G points, (G, P) -> (G,), (G, P); raises as `losses` does."""
        points = checked_points(points, self.theta)
        if len(points) == 0:
            return points.new_zeros(0), points.new_zeros(points.shape)
        chunk = self._chunk(backward=True)
        with whole_float32(self.device):
            (losses, gradients), chunk_used = in_chunks(self._slopes, points, chunk)
        self._remember(chunk_used, min(chunk, len(points)))
        return losses, gradients

    def with_batch(self, batch: Batch) -> Objective:
        """The same objective on other data; it shares layout and module, so the same thread.

        Args:
            batch: (inputs, targets).

        Returns:
            A new objective; this one is unchanged.

        Raises:
            TypeError, ValueError: the batch is no pair of tensors, or this is a function.
        """
        if not isinstance(self._source, ModuleLoss):
            raise ValueError("A function has no batch: with_batch needs Objective.from_module.")
        other, before = copy.copy(self), self._source.batch
        other._source = replace(self._source, batch=fitted_batch(batch, self.theta))
        other._layered = None
        if [part.shape for part in other._source.batch] != [part.shape for part in before]:
            other._footprint = None
        return other

    def copy(self) -> Objective:
        """An equal objective for another thread: the module is deep-copied, the data shared."""
        other = copy.copy(self)
        if isinstance(self._source, ModuleLoss):
            other._source = self._source.copy()
            other._layered = None  # its buffers serve one thread
        other.theta = self.theta.clone()
        return other

    def _values(self, points: Tensor) -> Tensor:
        layered = self._by_layers()
        if not isinstance(layered, str):
            return layered.losses(points)
        if not isinstance(self._source, ModuleLoss):
            return self._source(points)
        evaluate = mapped_losses if self._general == "vmap" else looped_losses
        return evaluate(self.loss, points)

    def _slopes(self, points: Tensor) -> tuple[Tensor, Tensor]:
        if self._general == "vmap":
            return mapped_slopes(self.loss, points)
        if isinstance(self._source, ModuleLoss):
            return summed_slopes(lambda own: looped_losses(self.loss, own), points)
        return summed_slopes(self._source, points)

    def _by_layers(self) -> Layered | str:
        """The evaluator of known layers, or why there is none."""
        if self._layered is None:
            self._layered = "it is no module that vmap takes"
            if isinstance(self._source, ModuleLoss) and not self._refusal:
                try:
                    self._layered = Layered(self._source, self.theta, self.memory_bytes)
                except RefusedError as refusal:
                    self._layered = str(refusal)
        return self._layered

    @property
    def _general(self) -> Literal["vmap", "loop", "function"]:
        """What evaluates gradients, and losses where layer by layer is refused."""
        if not isinstance(self._source, ModuleLoss):
            return "function"
        return "vmap" if self.supports_vmap and not self.prefers_loop() else "loop"

    def _in_chunks(self, evaluate: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
        if len(points) == 0:
            return points.new_zeros(0)
        chunk = self._chunk(backward=False)
        with torch.no_grad(), whole_float32(self.device):
            (losses,), chunk_used = in_chunks(lambda part: (evaluate(part),), points, chunk)
        self._remember(chunk_used, min(chunk, len(points)))
        return losses

    def _chunk(self, *, backward: bool) -> int:
        """Points a call: what the budget holds, and on a CPU what stays near its cache."""
        layered = self._by_layers()
        if not backward and not isinstance(layered, str):
            return min(self._largest_chunk, layered.chunk)
        if self._general == "loop" and backward:
            return 1
        measured = self._measured()
        own = self.theta.nbytes
        one = 4 * own + 2 * measured.total if backward else 3 * own + 4 * measured.widest
        chunk = min(self._largest_chunk, self.memory_bytes // one)
        if self.device.type == "cpu":
            chunk = min(chunk, CACHE_BYTES // measured.widest)
        return max(1, chunk)

    def prefers_loop(self, point: Footprint | None = None) -> bool:
        """Whether points are evaluated faster one after the other than by `vmap`.

        Args:
            point: what one keeps; None: on the objective's own batch.
        """
        if not isinstance(self._source, ModuleLoss) or self.device.type != "cpu":
            return False
        point = self._measured() if point is None else point
        return CACHE_BYTES // point.widest < SMALLEST_CPU_CHUNK

    def _measured(self) -> Footprint:
        if self._footprint is None:
            self._footprint = footprint(self.loss, self.theta, self.batch or ())
        return self._footprint

    def _remember(self, used: int, asked: int) -> None:
        if used < asked:
            self._largest_chunk = used

    def _check_value(self) -> None:
        """Refuses a loss that is not one floating-point number a point."""
        if isinstance(self._source, ModuleLoss):
            value, expected = self._source(self.theta), ()
            wanted = "loss_fn must return a scalar; reduce it, for example by .mean()"
        else:
            value, expected = self._source(self.theta.expand(2, -1)), (2,)
            wanted = "f must map (G, P) to (G,)"
        if not isinstance(value, Tensor) or not value.is_floating_point():
            raise TypeError(f"The loss is {described(value)}, expected a floating-point tensor.")
        if tuple(value.shape) != expected:
            raise ValueError(
                f"The loss has shape {tuple(value.shape)}, expected {expected}: {wanted}."
            )

    def _vmap_refusal(self) -> str:
        """Tries vmap of the gradient at two points; "" where it works, else a sentence."""
        try:
            vmap(grad_and_value(self.loss))(self.theta.expand(2, -1))
        except Exception as error:  # torch.func refuses by many types
            first_line = str(error).strip().partition("\n")[0]
            refusal = f"torch.func.vmap does not take this objective: {first_line}"
        else:
            return ""
        if isinstance(self._source, ModuleLoss):
            with torch.no_grad():
                first, second = self.loss(self.theta), self.loss(self.theta)
            if not torch.allclose(first, second, rtol=1e-4, equal_nan=True):
                raise ValueError(
                    f"The loss at one point is {first.item():.6g} once and {second.item():.6g}"
                    " the next time, expected the same number: the module draws at random. Call"
                    " module.eval(), use nn.Dropout, or keep the draw in a buffer."
                )
            warnings.warn(f"{refusal} Points are evaluated one by one.", stacklevel=4)
        return refusal
