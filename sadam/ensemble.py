"""Lanes x seeds trained in lockstep as one stacked batch of runs."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from probes.directions import draw_directions, normalize_directions
from probes.instability import lgi
from probes.layout import Batch
from probes.objective import Objective
from sadam.batches import Batches, check_seeds
from sadam.fitting import check_batches, check_initial, first_batch, is_probe_set
from sadam.lanes import MATCHED_WINDOW, Lane, check_lanes
from sadam.record import MEASURED, Record, held
from sadam.settings import Settings
from sadam.stacked import Stacked
from sadam.state import (
    State,
    check_same,
    number_in,
    settings_in,
    settings_state,
    tensor_in,
)
from sadam.update import damping_from_lgi, sadam_update_

__all__ = ["Ensemble"]

# Seeds the fixed directions on which gradient and update are watched: the same in every session.
_PROJECTION_SEED = 20_260


class Ensemble:
    """R = L x S runs, lane-major: run r = lane * S + seed.

    Every lane of a seed starts from the same weights, sees the same mini-batches and, where it
    probes, looks along the same directions. The present state is always fully observed: `record`
    holds everything about theta_t and the update planned from it, and `step` commits that update.

    A run whose loss, gradient or planned parameters are not finite is frozen where they last were,
    and marked; the others go on unharmed.

    One thread. Tensors handed out are never written again.

    Args:
        objective: the loss; its own batch is the fixed probe set.
        lanes: L lanes, see `sadam.lanes`.
        seeds: S whole numbers >= 0.
        initial: the weights of each seed, (S, P).
        batches: the mini-batches of these seeds; None for a function.
        settings: what all lanes train with.
        projections: J, on how many fixed random directions gradient and update are recorded; for
            P <= J the coordinates themselves.
        draw: draw(t) -> raw standard normal draws (S, k, P) of step t, in place of those that
            follow from (seed, t).

    Attributes:
        t: steps taken.
        theta: (R, P) the present parameters.
        next_theta: (R, P) where the planned update leads.
        settings: assign other `Settings` at any time; they act from the next plan on.
        alive: (R,) whether a run still trains.
        diverged_at: (R,) the step at which it was frozen, -1 where it was not.
        record: what is known at t.
        batch: the mini-batch of t, as `Batches.at` gave it.
        directions: (S, k, P) the unit directions of t; None where nothing was probed.

    Raises:
        ValueError: lanes, seeds, weights, batches or draws that do not fit together.
    """

    def __init__(
        self,
        objective: Objective,
        lanes: Sequence[Lane],
        *,
        seeds: Sequence[int],
        initial: Tensor,
        batches: Batches | None,
        settings: Settings,
        projections: int = 8,
        draw: Callable[[int], Tensor] | None = None,
    ) -> None:
        self.lanes = check_lanes(lanes)
        self.seeds = check_seeds(seeds)
        check_initial(initial, len(self.seeds), objective.size)
        check_batches(batches, self.seeds, objective)
        self.objective = objective
        self.batches = batches
        self.settings = settings
        self._draw = draw

        keys = [lane.key for lane in self.lanes]
        self._probed = [i for i, lane in enumerate(self.lanes) if lane.damping == "probed"]
        self._matched = [i for i, lane in enumerate(self.lanes) if lane.damping == "matched"]
        followed = [
            next(keys.index(key) for key in self.lanes[i].needs if keys.index(key) in self._probed)
            for i in self._matched
        ]
        self._followed = [self._probed.index(i) for i in followed]

        self.t = 0
        self.theta = initial.detach().to(objective.theta).repeat(len(self.lanes), 1)
        self._m = torch.zeros_like(self.theta)
        self._v = torch.zeros_like(self.theta)
        self._before = self.theta
        self._applied = torch.zeros_like(self.theta)
        runs = len(self.theta)
        self.alive = torch.ones(runs, dtype=torch.bool, device=objective.device)
        self.diverged_at = torch.full((runs,), -1, device=objective.device)
        window = (MATCHED_WINDOW, len(self._probed), len(self.seeds))
        self._dampings = self.theta.new_full(window, torch.nan)
        self._projection = _projection(objective.size, projections).to(self.theta)
        self._shared = batches is not None and batches.full
        self._loss_is_probe_loss = is_probe_set(batches, objective.batch)
        self.batch = None if batches is None else batches.at(0)
        self._stacked = Stacked(objective, first_batch(self.batch, self._shared))
        self.directions: Tensor | None = None
        self.record = self._plan(None)

    def step(self) -> Record:
        """Commit the planned update, plan the next one, and return what is known then."""
        last_batch = self.batch
        self._before, self.theta = self.theta, self.next_theta
        self._applied = self.theta - self._before
        self._m, self._v = self._next_moments
        self.t += 1
        self.batch = None if self.batches is None else self.batches.at(self.t)
        self.record = self._plan(self.record, last_batch)
        return self.record

    def state(self) -> dict[str, Any]:
        """All that the coming steps depend on, as tensors, numbers and text, see `sadam.state`.

        Batches and directions follow from seed and step. The moments before the plan and the
        update applied last are left out: the next step replaces them by what the plan holds.
        """
        tensors = self._planned()
        if self.directions is not None:
            tensors["directions"] = self.directions
        copies = {name: value.detach().cpu().clone() for name, value in tensors.items()}
        return self._identity() | {"t": self.t} | settings_state(self.settings) | copies

    def restore(self, state: State) -> None:
        """Go on, bit for bit, from the `state` of an ensemble built with the same arguments.

        Settings that were assigned to it later come along.

        Raises:
            ValueError: other lanes, seeds, sizes or dtype, or a damaged state; nothing is changed.
        """
        check_same(state, self._identity())
        t, settings = number_in(state, "t"), settings_in(state)
        found = {
            name: tensor_in(state, name, shape=tuple(own.shape), dtype=own.dtype).to(own.device)
            for name, own in self._planned().items()
        }
        directions = None
        if "directions" in state:
            shape = (len(self.seeds), None, self.objective.size)  # k may have been assigned since
            directions = tensor_in(state, "directions", shape=shape, dtype=self.theta.dtype)
            directions = directions.to(self.theta.device)

        self.t, self.settings, self.directions = t, settings, directions
        self.batch = None if self.batches is None else self.batches.at(t)
        self.theta, self.next_theta = found["theta"], found["next_theta"]
        self._next_moments = found["m"], found["v"]
        self._dampings = found["dampings"]
        self.alive, self.diverged_at = found["alive"], found["diverged_at"]
        self.record = Record(step=t, **{name: found[f"record.{name}"] for name in MEASURED})

    def _identity(self) -> dict[str, int | str]:
        """Which runs these are; a state of others does not fit."""
        return {
            "lanes": ", ".join(f"{lane.key} ({lane.rule}, {lane.damping})" for lane in self.lanes),
            "seeds": ", ".join(str(seed) for seed in self.seeds),
            "batch": 0 if self.batches is None else self.batches.size,
        }

    def _planned(self) -> dict[str, Tensor]:
        """The tensors of the present state and its plan, but for the directions."""
        m, v = self._next_moments
        return {
            "theta": self.theta,
            "next_theta": self.next_theta,
            "m": m,
            "v": v,
            "dampings": self._dampings,
            "alive": self.alive,
            "diverged_at": self.diverged_at,
        } | {f"record.{name}": getattr(self.record, name) for name in MEASURED}

    def _plan(self, last: Record | None, last_batch: Batch | None = None) -> Record:
        """Observe theta_t, plan the update from it, and freeze the runs that cannot go on."""
        grid = (len(self.lanes), len(self.seeds))
        losses, gradients = self._stacked.losses_and_gradients(
            self.theta.view(*grid, -1), self.batch, shared=self._shared
        )
        rho, damping = self._measure(losses)
        loss, rho, damping = losses.flatten(), rho.flatten(), damping.flatten()
        gradient = gradients.flatten(0, 1)

        healthy = self.alive & loss.isfinite() & _all_finite(gradient)
        self.theta = torch.where(healthy[:, None], self.theta, self._before)
        gradient = torch.where(healthy[:, None], gradient, 0.0)
        planned, m, v = self.theta.clone(), self._m.clone(), self._v.clone()
        sadam_update_(
            planned,
            gradient,
            m,
            v,
            self.t + 1,
            damping=damping,
            lr=self.settings.lr,
            betas=self.settings.betas,
            eps=self.settings.eps,
            weight_decay=self.settings.weight_decay,
        )
        moving = healthy & _all_finite(planned)
        self.next_theta = torch.where(moving[:, None], planned, self.theta)
        self._next_moments = m, v
        self.diverged_at = torch.where(self.alive & ~moving, self.t, self.diverged_at)
        self.alive = moving
        got = self._got(loss, last, last_batch)
        seen = self._observe(loss, gradient, rho, damping, got)
        return seen if last is None else held(seen, last, healthy)

    def _measure(self, losses: Tensor) -> tuple[Tensor, Tensor]:
        """rho and damping of all runs, both (L, S)."""
        rho = torch.full_like(losses, torch.nan)
        damping = torch.ones_like(losses)
        self.directions = None
        if not self._probed:
            return rho, damping
        s = self.settings
        if s.lgi_lambda > 0:
            self.directions = self._draw_directions()
            here = self.theta.view(*losses.shape, -1)[self._probed]
            points = here[:, None] + s.sigma * self.directions.movedim(0, 1)
            probes = self._stacked.losses(points.flatten(0, 1), self.batch, shared=self._shared)
            probes = probes.view(*points.shape[:3])
            differences = (probes - losses[self._probed, None]) / s.sigma
            rho[self._probed] = lgi(differences.movedim(1, -1), s.stabilize_eps)
            damping[self._probed] = damping_from_lgi(rho[self._probed], s.lgi_lambda, s.lgi_cap)
        if self._matched:
            now = damping[self._probed]
            shifted = torch.cat([self._dampings[1:], now[None]])
            # A frozen lane has no damping any more: those who follow it keep what it had.
            self._dampings = torch.where(now.isfinite(), shifted, self._dampings)
            mean = self._dampings.nanmean(0).nan_to_num(1.0)
            damping[self._matched] = mean[self._followed]
        return rho, damping

    def _draw_directions(self) -> Tensor:
        """The unit directions of this step, (S, k, P), shared by the lanes of a seed."""
        layout, theta, k = self.objective.layout, self.theta, self.settings.k_directions
        if self._draw is not None:
            raw = self._draw(self.t).to(theta)
        else:
            drawn = [
                draw_directions(
                    k, layout, seed=seed, step=self.t, dtype=theta.dtype, device=theta.device
                )
                for seed in self.seeds
            ]
            raw = torch.stack(drawn)
        expected = (len(self.seeds), k, self.objective.size)
        if tuple(raw.shape) != expected:
            raise ValueError(
                f"draw({self.t}) gave shape {tuple(raw.shape)}; "
                f"return raw draws of shape (seeds, k, parameters) = {expected}."
            )
        return normalize_directions(raw, layout, sphere=self.settings.sphere)

    def _got(self, loss: Tensor, last: Record | None, last_batch: Batch | None) -> Tensor:
        """The change of loss that the last step brought on its own batch, (R,)."""
        if last is None:
            return torch.full_like(loss, torch.nan)
        if not (self._shared or self.batches is None):
            points = self.theta.view(len(self.lanes), len(self.seeds), -1)
            loss = self._stacked.losses(points, last_batch, shared=False).flatten()
        return torch.where(self.alive, loss - last.loss, torch.nan)

    def _observe(
        self, loss: Tensor, gradient: Tensor, rho: Tensor, damping: Tensor, got: Tensor
    ) -> Record:
        """Everything that is recorded of theta_t and its planned update."""
        update = self.next_theta - self.theta
        norm = update.norm(dim=1)
        cosine = (update * self._applied).sum(1) / (norm * self._applied.norm(dim=1))
        damping = torch.where(self.alive, damping, torch.nan)
        return Record(
            step=self.t,
            loss=loss,
            probe_loss=loss if self._loss_is_probe_loss else self.objective.losses(self.theta),
            gradient_norm=gradient.norm(dim=1),
            lgi=torch.where(self.alive, rho, torch.nan),
            damping=damping,
            effective_lr=self.settings.lr * damping,
            got=got,
            promised=(gradient * update).sum(1),
            update_norm=norm,
            update_cosine=cosine,
            gradient_projection=gradient @ self._projection,
            update_projection=update @ self._projection,
        )


def _all_finite(rows: Tensor) -> Tensor:
    """Which rows (R, P) hold finite values only: 0 times anything else is nan."""
    return (0 * rows).sum(1) == 0


def _projection(size: int, count: int) -> Tensor:
    """(P, J) fixed directions of about unit length; the coordinates themselves for P <= J."""
    if size <= count:
        return torch.eye(size, dtype=torch.float64)
    generator = torch.Generator().manual_seed(_PROJECTION_SEED)
    return torch.randn(size, count, generator=generator, dtype=torch.float64) / size**0.5
