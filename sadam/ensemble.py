"""Lanes x seeds trained in lockstep as one stacked batch of runs."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from probes.directions import draw_directions, normalize_directions
from probes.instability import lgi
from probes.layout import Batch
from probes.objective import Objective
from sadam.batches import Batches, check_seeds
from sadam.lanes import MATCHED_WINDOW, Lane, check_lanes
from sadam.record import Record
from sadam.settings import Settings
from sadam.stacked import Stacked
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
        _check_initial(initial, len(self.seeds), objective.size)
        _check_batches(batches, self.seeds, objective)
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
        self._loss_is_probe_loss = _is_probe_set(batches, objective.batch)
        self.batch = None if batches is None else batches.at(0)
        self._stacked = Stacked(objective, _first(self.batch, self._shared))
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
        return seen if last is None else _held(seen, last, healthy)

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


def _held(seen: Record, last: Record, healthy: Tensor) -> Record:
    """The record with a frozen run's last finite values in place of what it reads now."""
    names = ("loss", "probe_loss", "gradient_norm")
    held = {n: torch.where(healthy, getattr(seen, n), getattr(last, n)) for n in names}
    return replace(seen, **held)


def _projection(size: int, count: int) -> Tensor:
    """(P, J) fixed directions of about unit length; the coordinates themselves for P <= J."""
    if size <= count:
        return torch.eye(size, dtype=torch.float64)
    generator = torch.Generator().manual_seed(_PROJECTION_SEED)
    return torch.randn(size, count, generator=generator, dtype=torch.float64) / size**0.5


def _check_initial(initial: Tensor, seeds: int, size: int) -> None:
    if tuple(initial.shape) != (seeds, size):
        raise ValueError(
            f"initial has shape {tuple(initial.shape)}; give one row of {size} parameters for "
            f"each of the {seeds} seeds, shape {(seeds, size)}."
        )
    if not bool(initial.isfinite().all()):
        raise ValueError("initial holds a value that is not finite; start from finite weights.")


def _check_batches(batches: Batches | None, seeds: tuple[int, ...], objective: Objective) -> None:
    if objective.batch is None:
        if batches is not None:
            raise ValueError("the objective is a function, which has no data; give batches=None.")
        return
    if batches is None:
        raise ValueError("the objective is a network; give the Batches that it trains on.")
    if batches.seeds != seeds:
        raise ValueError(
            f"the batches are those of seeds {list(batches.seeds)} and the runs have seeds "
            f"{list(seeds)}; give both the same."
        )
    for found, expected in zip((batches.inputs, batches.targets), objective.batch, strict=True):
        if (found.dtype, found.device) != (expected.dtype, expected.device):
            raise ValueError(
                f"the batches hold {found.dtype} on {found.device} where the objective's own batch "
                f"holds {expected.dtype} on {expected.device}; convert the pool to that."
            )


def _is_probe_set(batches: Batches | None, probe_set: Batch | None) -> bool:
    """Whether every mini-batch is the probe set, so that one evaluation serves both."""
    if batches is None or probe_set is None:
        return True  # a function has no data
    pairs = zip((batches.inputs, batches.targets), probe_set, strict=True)
    return batches.full and all(pool is own or torch.equal(pool, own) for pool, own in pairs)


def _first(batch: Batch | None, shared: bool) -> Batch | None:
    """The mini-batch of one seed."""
    return batch if batch is None or shared else (batch[0][0], batch[1][0])
