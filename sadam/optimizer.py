"""S-Adam as a `torch.optim.Optimizer`, to be imported into any training script."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer, ParamsT

from probes.instability import lgi
from sadam.closures import Closure, call_closure, random_state
from sadam.flat import Flat
from sadam.points import Points, check_directions, fresh, given
from sadam.probing import ClosureProbe
from sadam.settings import Sphere, check_settings
from sadam.update import damping_from_lgi, sadam_updates_

__all__ = ["SAdam"]

# One measurement serves all groups, so these agree between them.
_SHARED = ("k_directions", "sigma", "lgi_lambda", "stabilize_eps", "lgi_cap", "sphere")


class SAdam(Optimizer):
    """Adam with decoupled weight decay whose step is damped where nearby losses disagree.

        D_i = (f(theta + sigma u_i) - f(theta)) / sigma,  i = 1..k, on the same mini-batch
        rho = Var(D) / (mean(D^2) + zeta),  a = exp(-lambda min(rho, cap))
        theta <- (1 - lr wd) theta - a lr sqrt(1 - beta2^t) / (1 - beta1^t) m / (sqrt(v) + eps)

    A step costs k more evaluations of the loss. When NOT to use it: where tuning the learning rate
    or letting it decay is possible. On a smooth slope rho is close to a random number that knows
    nothing of the place, so the damping acts much like a smaller learning rate.

    The closure is asked for the loss with and without a gradient, on one mini-batch:

        def closure(backward):
            loss = loss_fn(model(inputs), targets)
            if backward:
                optimizer.zero_grad()
                loss.backward()
            return loss

        optimizer.step(closure)

    Parameters without a gradient are neither probed nor moved. Random draws inside the closure
    (dropout) from torch's global generators are the same in all evaluations of a step. The
    directions come from the global generator, so `torch.manual_seed` governs them.

    Args:
        params: parameters or groups of them; groups may differ in lr, betas, eps, weight_decay.
        lr: learning rate, >= 0.
        betas: decay of the two moments, each in [0, 1).
        eps: inside, before the bias correction, >= 0.
        weight_decay: decoupled and not damped, >= 0.
        k_directions: k, probes a step, >= 1; 1 gives rho = 0; the paper also uses 8.
        sigma: length of a probe in units of the parameters, > 0.
        lgi_lambda: strength of the damping, >= 0; 0 measures nothing and records nan.
        stabilize_eps: zeta, >= 0.
        lgi_cap: largest rho that counts, > 0.
        sphere: "tensor" gives each tensor of a direction unit norm (the released code), "global"
            the whole direction (the paper).
        instability: what damps; "lgi" is the paper's rho.
        module: the network that the closure reads. Given it, the first step also tries all probes
            as one vmap of the closure, and all later steps keep to what was faster, vmap or loop;
            they agree to rounding. So the first step calls the closure more often. Where vmap
            cannot take it a warning says so. Probing never touches the module's buffers
            (BatchNorm's statistics).

    Raises:
        ValueError: a value outside its range, groups that disagree on what they share, a module
            that does not hold the parameters.

    Source: arXiv 2605.29547, Algorithm 1; defaults and details of the released code.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        k_directions: int = 2,
        sigma: float = 0.01,
        lgi_lambda: float = 2.0,
        stabilize_eps: float = 1e-6,
        lgi_cap: float = 10.0,
        *,
        sphere: Sphere = "tensor",
        instability: str = "lgi",
        module: nn.Module | None = None,
    ) -> None:
        if instability != "lgi":
            raise ValueError(f"instability is {instability!r}; give 'lgi', the paper's measure.")
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "k_directions": k_directions,
            "sigma": sigma,
            "lgi_lambda": lgi_lambda,
            "stabilize_eps": stabilize_eps,
            "lgi_cap": lgi_cap,
            "sphere": sphere,
        }
        check_settings(defaults)
        self._probe = ClosureProbe(module)
        self._lgi = _Series()
        self._damping = _Series()
        self._flats: list[Flat] = []
        super().__init__(params, defaults)

    @property
    def lgi_history(self) -> list[float]:
        """rho of every step so far; nan where nothing was measured. Not part of `state_dict`."""
        return self._lgi.read()

    @property
    def damping_history(self) -> list[float]:
        """The damping of every step so far. Not part of `state_dict`."""
        return self._damping.read()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, once its values are in range and agree with the groups there are."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            check_settings(group)
            self._agreed()
            self._probe.check_holds(group["params"])
            if any(p.is_complex() for p in group["params"]):
                raise ValueError("a parameter is complex; SAdam takes real parameters.")
        except ValueError:
            self.param_groups.pop()
            raise

    @torch.no_grad()
    def step(  # pyright: ignore[reportIncompatibleMethodOverride]  # the closure is needed
        self,
        closure: Closure | None = None,
        directions: Sequence[Sequence[Tensor]] | None = None,
    ) -> Tensor:
        """One step: gradient, k probes, damped update.

        Args:
            closure: closure(backward: bool) -> loss; see the class.
            directions: k lists of raw standard normal draws, one a parameter in the order of the
                groups, used in place of fresh ones.

        Returns:
            The loss before the step, a detached scalar.

        Raises:
            ValueError: no closure, or directions that do not fit.
        """
        if closure is None:
            raise ValueError(
                "step() was called without a closure; S-Adam evaluates the loss at its probes, so "
                "call step(closure) with closure(backward: bool) -> loss."
            )
        shared = self._agreed()
        every = [p for group in self.param_groups for p in group["params"]]
        if directions is not None:
            check_directions(directions, every, shared["k_directions"])
        start = random_state({p.device for p in every})
        with torch.enable_grad():
            loss = call_closure(closure, True)
        if any(p.grad is not None and p.grad.is_sparse for p in every):
            raise ValueError("a gradient is sparse; SAdam takes dense gradients only.")

        flats = self._flattened()
        rho = torch.full_like(loss, math.nan)
        damping = torch.ones_like(loss)
        if shared["lgi_lambda"] > 0 and flats:
            k, sigma, sphere = (shared[name] for name in ("k_directions", "sigma", "sphere"))
            draw = fresh if directions is None else given(flats, every, directions)
            points = Points(flats, draw, k=k, sigma=sigma, sphere=sphere)
            losses = self._probe.losses(closure, points, start, loss)
            rho = lgi((losses - loss) / sigma, shared["stabilize_eps"])
            damping = damping_from_lgi(rho, shared["lgi_lambda"], shared["lgi_cap"])
        self._lgi.append(rho)
        self._damping.append(damping)
        for group in self.param_groups:
            self._move(group, damping)
        return loss

    def _flattened(self) -> list[Flat]:
        """The parameters that have a gradient now, by dtype and device, read."""
        kinds: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    kinds.setdefault((p.dtype, p.device), []).append(p)
        if [[id(p) for p in flat.tensors] for flat in self._flats] != [
            [id(p) for p in alike] for alike in kinds.values()
        ]:
            self._flats = [Flat(alike) for alike in kinds.values()]
        for flat in self._flats:
            flat.read()
        return self._flats

    def _move(self, group: dict[str, Any], damping: Tensor) -> None:
        """Take the damped step, together where dtype, device and number of steps agree."""
        alike: dict[tuple[torch.dtype, torch.device, int], list[Tensor]] = {}
        for p in group["params"]:
            if p.grad is None:
                continue
            state = self.state[p]
            if not state:
                state["step"] = 0
                state["exp_avg"] = torch.zeros_like(p)
                state["exp_avg_sq"] = torch.zeros_like(p)
            state["step"] = int(state["step"]) + 1
            alike.setdefault((p.dtype, p.device, state["step"]), []).append(p)
        for (dtype, device, t), params in alike.items():
            sadam_updates_(
                params,
                [p.grad for p in params if p.grad is not None],
                [self.state[p]["exp_avg"] for p in params],
                [self.state[p]["exp_avg_sq"] for p in params],
                t,
                damping=damping.to(device, dtype),
                lr=group["lr"],
                betas=group["betas"],
                eps=group["eps"],
                weight_decay=group["weight_decay"],
            )

    def _agreed(self) -> dict[str, Any]:
        """What all groups share.

        Raises:
            ValueError: names the first value on which two groups differ.
        """
        first = {name: self.param_groups[0][name] for name in _SHARED}
        for group in self.param_groups[1:]:
            for name, value in first.items():
                if group[name] != value:
                    raise ValueError(
                        f"{name} is {value!r} in one parameter group and {group[name]!r} in "
                        "another; all groups are probed together, so give them one value."
                    )
        return first

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:  # a state dict of torch's AdamW lacks what it never had
            for name, value in self.defaults.items():
                group.setdefault(name, value)
        if "_probe" not in self.__dict__:  # a copied or unpickled optimizer starts its own record
            self._probe = ClosureProbe(None)
            self._lgi = _Series()
            self._damping = _Series()
            self._flats = []


class _Series:
    """One number a step, left on the device until somebody reads it."""

    _AT_ONCE = 1024  # numbers fetched together, so that the wait never grows with the run

    def __init__(self) -> None:
        self._read: list[float] = []
        self._waiting: list[Tensor] = []

    def append(self, value: Tensor) -> None:
        self._waiting.append(value)
        if len(self._waiting) == self._AT_ONCE:
            self.read()

    def read(self) -> list[float]:
        if self._waiting:
            self._read += torch.stack(self._waiting).tolist()
            self._waiting = []
        return list(self._read)
