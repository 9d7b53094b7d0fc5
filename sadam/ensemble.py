"""Lanes x seeds trained in lockstep as one stacked batch of runs."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from probes.layout import Batch
from probes.objective import Objective
from sadam.batches import Batches, check_seeds
from sadam.dampings import Dampings
from sadam.fitting import check_batches, check_initial, first_batch, is_probe_set
from sadam.lanes import Lane, check_lanes, check_rates, learning_rate
from sadam.observing import all_finite, kept, known, observed
from sadam.record import MEASURED, Record, fixed_directions, following
from sadam.rules import advance_
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

__all__ = ["Ensemble"]


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
        observe: False leaves out of the record what training itself has no need of, as nan: losses
            on the probe set and on the batch before, norm, cosine and promise of the update, the
            length of the path and the projections. For runs of which only the end counts.
        moments: m and v (P,) of Adam, and the steps that led to them, which all lanes of that rule
            go on from; None starts them from zero.

    Attributes:
        t: steps taken.
        taken: steps that led to the moments it began with, which Adam's bias correction counts too.
        theta: (R, P) the present parameters.
        next_theta: (R, P) where the planned update leads.
        settings: assign other `Settings` at any time; they act from the next plan on. Those that
            do not fit the lanes are refused, see `check_rates`.
        alive: (R,) whether a run still trains.
        diverged_at: (R,) the step at which it was frozen, -1 where it was not.
        record: what is known at t.
        batch: the mini-batch of t, as `Batches.at` gave it.
        directions: (S, k, P) the unit directions of t; None where nothing was probed.

    Raises:
        ValueError: lanes, seeds, weights, batches, settings or draws that do not fit together.
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
        observe: bool = True,
        moments: tuple[Tensor, Tensor, int] | None = None,
    ) -> None:
        self.seeds = check_seeds(seeds)
        self.lanes = check_lanes(lanes, len(self.seeds))
        check_initial(initial, len(self.seeds), objective.size)
        check_batches(batches, self.seeds, objective)
        self.objective = objective
        self.batches = batches
        self.settings = settings
        self._dampings = Dampings(objective, self.lanes, self.seeds, draw)

        self.t = 0
        self.theta = initial.detach().to(objective.theta).repeat(len(self.lanes), 1)
        self._m = torch.zeros_like(self.theta)
        self._v = torch.zeros_like(self.theta)
        self.taken = 0 if moments is None else moments[2]
        if moments is not None:
            adam = [lane.rule == "adam" for lane in self.lanes for _ in self.seeds]
            self._m[adam], self._v[adam] = moments[0].to(self._m), moments[1].to(self._v)
        self._before = self.theta
        self._applied = self._update = torch.zeros_like(self.theta)
        self._observes = observe
        runs = len(self.theta)
        self.alive = torch.ones(runs, dtype=torch.bool, device=objective.device)
        self.diverged_at = torch.full((runs,), -1, device=objective.device)
        directions = fixed_directions(objective.size, projections)
        self._projection = directions.T.to(self.theta).contiguous()
        self._shared = batches is not None and batches.full
        self._loss_is_probe_loss = is_probe_set(batches, objective.batch)
        self.batch = None if batches is None else batches.at(0)
        sample = first_batch(self.batch, self._shared)
        self._stacked = Stacked(objective, sample, own=self._loss_is_probe_loss)
        self.record = self._plan(None)

    @property
    def settings(self) -> Settings:
        """What all lanes train with."""
        return self._settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        check_rates(self.lanes, settings)
        self._settings = settings

    @property
    def directions(self) -> Tensor | None:
        """The unit directions of t, (S, k, P); None where nothing was probed."""
        return self._dampings.directions

    @property
    def second_moment(self) -> Tensor:
        """v of every run as the planned update uses it, (R, P); 0 where a rule keeps none."""
        return self._v.clone()

    def step(self) -> Record:
        """Commit the planned update, plan the next one, and return what is known then."""
        last_batch = self.batch
        self._before, self.theta = self.theta, self.next_theta
        self._applied = self._update
        self.t += 1
        self.batch = None if self.batches is None else self.batches.at(self.t)
        self.record = self._plan(self.record, last_batch)
        return self.record

    def state(self) -> dict[str, Any]:
        """All that the coming steps depend on, as tensors, numbers and text, see `sadam.state`.

        Batches and directions follow from seed and step. The update applied last is left out: the
        next step replaces it by the planned one.
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
        check_rates(self.lanes, settings)
        found = {
            name: tensor_in(state, name, shape=tuple(own.shape), dtype=own.dtype).to(own.device)
            for name, own in self._planned().items()
        }
        directions = None
        if "directions" in state:
            shape = (len(self.seeds), None, self.objective.size)  # k may have been assigned since
            directions = tensor_in(state, "directions", shape=shape, dtype=self.theta.dtype)
            directions = directions.to(self.theta.device)

        self.t, self.settings = t, settings
        self.batch = None if self.batches is None else self.batches.at(t)
        self.theta, self.next_theta = found["theta"], found["next_theta"]
        self._update = self.next_theta - self.theta
        self._m, self._v = found["m"], found["v"]
        self._dampings.recent, self._dampings.directions = found["dampings"], directions
        self.alive, self.diverged_at = found["alive"], found["diverged_at"]
        self.record = Record(step=t, **{name: found[f"record.{name}"] for name in MEASURED})

    def _identity(self) -> dict[str, int | str]:
        """Which runs these are; a state of others does not fit."""
        return {
            "lanes": ", ".join(
                f"{lane.key} ({lane.rule}, {lane.damping}, {lane.schedule})" for lane in self.lanes
            ),
            "seeds": ", ".join(str(seed) for seed in self.seeds),
            "batch": 0 if self.batches is None else self.batches.size,
            "taken": self.taken,
        }

    def _planned(self) -> dict[str, Tensor]:
        """The tensors of the present state and its plan, but for the directions."""
        return {
            "theta": self.theta,
            "next_theta": self.next_theta,
            "m": self._m,
            "v": self._v,
            "dampings": self._dampings.recent,
            "alive": self.alive,
            "diverged_at": self.diverged_at,
        } | {f"record.{name}": getattr(self.record, name) for name in MEASURED}

    def _plan(self, last: Record | None, last_batch: Batch | None = None) -> Record:
        """Observe theta_t, plan the update from it, and freeze the runs that cannot go on."""
        losses, gradients = self._stacked.losses_and_gradients(
            self._by_lane(self.theta), self.batch, shared=self._shared
        )
        loss, gradient = losses.flatten(), gradients.flatten(0, 1)
        slope = gradient.norm(dim=1)
        healthy = self.alive & loss.isfinite() & all_finite(gradient, slope)
        self.theta = kept(healthy, self.theta, self._before)
        gradient, slope = kept(healthy, gradient, 0.0), torch.where(healthy, slope, 0.0)

        rho, damping = self._dampings.measure(
            self.t,
            self._by_lane(self.theta),
            losses,
            healthy.view_as(losses),
            lambda points: self._stacked.losses(points, self.batch, shared=self._shared),
            self.settings,
            again=self._stacked.rounds_otherwise,
        )
        rho, damping = rho.flatten(), damping.flatten()
        spent = self.alive * self._dampings.forwards(self.settings)

        rates = [learning_rate(lane, self.settings, self.t) for lane in self.lanes]
        planned = self.theta.clone()
        advance_(
            self.lanes,
            planned,
            gradient,
            self._m,
            self._v,
            self.taken + self.t + 1,
            damping=damping,
            rates=rates,
            settings=self.settings,
        )
        moving = healthy & all_finite(planned, planned.norm(dim=1))
        self.next_theta = kept(moving, planned, self.theta)
        self.diverged_at = torch.where(self.alive & ~moving, self.t, self.diverged_at)
        self.alive = moving

        seen = known(
            self.t,
            loss,
            slope,
            torch.where(moving, rho, torch.nan),
            torch.where(moving, damping, torch.nan),
            damping.new_tensor(rates).repeat_interleave(len(self.seeds)),
            projections=len(self._projection),
            probe_loss=loss if self._loss_is_probe_loss else None,
        )
        after, along = seen.got, seen.slope_after
        if self._observes:
            self._update = self.next_theta - self.theta
            if not self._loss_is_probe_loss:
                seen = replace(seen, probe_loss=self.objective.losses(self.theta))
            seen = observed(
                seen,
                gradient,
                self._update,
                before=self._applied,
                before_norm=torch.zeros_like(loss) if last is None else last.update_norm,
                projection=self._projection,
            )
            if last is not None:
                after, along = self._on_last_batch(loss, gradient, last_batch)
        if last is None:
            return replace(seen, forwards=spent)
        return following(
            seen, last, healthy, moving, loss_after=after, slope_after=along, spent=spent
        )

    def _by_lane(self, theta: Tensor) -> Tensor:
        """Of all runs (R, P), by lane and seed (L, S, P)."""
        return theta.view(len(self.lanes), len(self.seeds), -1)

    def _on_last_batch(
        self, loss: Tensor, gradient: Tensor, last_batch: Batch | None
    ) -> tuple[Tensor, Tensor]:
        """Loss at theta_t and its slope along the update that led there, on that update's batch."""
        if self._shared or self.batches is None:
            return loss, (gradient * self._applied).sum(1)
        losses = self._stacked.losses(self._by_lane(self.theta), last_batch, shared=False)
        return losses.flatten(), torch.full_like(loss, torch.nan)
