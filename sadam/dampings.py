"""Where each lane's damping comes from: measured along directions, followed, or drawn."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from probes.directions import draw_directions, normalize_directions
from probes.instability import asymmetry, lgi
from probes.objective import Objective
from sadam.lanes import MATCHED_WINDOW, Lane
from sadam.settings import Settings
from sadam.update import damping_from_lgi

__all__ = ["Dampings", "draw_slope_lgi"]

# Keeps the random law's stream apart from other streams that start from the same seed.
_STREAM = 0x6C617773


def draw_slope_lgi(k: int, *, seed: int, step: int) -> float:
    """A draw of the law that LGI follows on a plain slope of many parameters, at zeta = 0.

        rho ~ k/(k-1) Beta((k-1)/2, 1/2)

    There the k differences are independent and normal, whatever the slope, so the draw knows the
    scatter of LGI and nothing of any loss.

    Args:
        k: number of directions, at least 1; k = 1 gives 0.
        seed: at least 0.
        step: at least 0; the draw is a pure function of (k, seed, step).

    Returns:
        rho in [0, k/(k-1)].
    """
    if k == 1:
        return 0.0
    generator = np.random.default_rng([_STREAM, seed, step])
    return k / (k - 1) * generator.beta((k - 1) / 2, 0.5)


class Dampings:
    """The instability and the damping of L lanes x S seeds, step by step.

    Lanes that measure look along one draw of directions a seed; the others pay for no probe. A
    lane that follows one which froze keeps what that had last.

    Args:
        objective: the loss that is probed.
        lanes: L lanes that passed `check_lanes`.
        seeds: S seeds.
        draw: draw(t) -> raw standard normal draws (S, k, P) in place of those of (seed, t).

    Attributes:
        directions: (S, k, P) the unit directions of the last `measure`; None: nothing was probed.
        recent: (32, F, S) the last dampings of the F "probed" lanes, newest last; nan before.
    """

    def __init__(
        self,
        objective: Objective,
        lanes: Sequence[Lane],
        seeds: Sequence[int],
        draw: Callable[[int], Tensor] | None,
    ) -> None:
        self._objective = objective
        self._seeds = tuple(seeds)
        self._draw = draw
        self._forward = _lanes_of(lanes, "probed", "asymmetry")
        self._backward = _lanes_of(lanes, "asymmetry")
        self._probed = _lanes_of(lanes, "probed")
        self._random = _lanes_of(lanes, "random")
        self._matched = _lanes_of(lanes, "matched")
        self._swapped = _lanes_of(lanes, "swapped")
        leaders = {lanes[i].key: place for place, i in enumerate(self._probed)}
        self._led_by = {
            i: next(leaders[key] for key in lanes[i].needs if key in leaders)
            for i in self._matched + self._swapped
        }
        # Ends of a direction at which each run evaluates f, (R,).
        ends = [(i in self._forward) + (i in self._backward) for i in range(len(lanes))]
        self._ends = torch.tensor(ends, device=objective.device).repeat_interleave(len(seeds))
        self.directions: Tensor | None = None
        window = (MATCHED_WINDOW, len(self._probed), len(self._seeds))
        self.recent = objective.theta.new_full(window, torch.nan)

    def measure(
        self,
        t: int,
        theta: Tensor,
        losses: Tensor,
        healthy: Tensor,
        evaluate: Callable[[Tensor], Tensor],
        settings: Settings,
        *,
        again: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """rho and damping of all runs at step t, both (L, S).

        Args:
            t: from 0.
            theta: (L, S, P) where the runs are.
            losses: (L, S) f there.
            healthy: (L, S) whether the damping of a run counts for those who follow it.
            evaluate: points (N, S, P) -> f (N, S), on the mini-batches of t.
            settings: k, sigma and all that damps.
            again: evaluate f at theta again, because `evaluate` rounds otherwise than what gave the
                losses, and where a rounded network is flat a difference is 0 or it misleads.

        Returns:
            rho, nan where a lane does not probe, and the damping, nan where a probe was not finite.
        """
        rho = torch.full_like(losses, torch.nan)
        damping = torch.ones_like(losses)
        self.directions = None
        if settings.lgi_lambda > 0:
            if self._forward:
                self.directions = self._draw_directions(t, settings)
                here = losses
                if again:
                    here = torch.full_like(losses, torch.nan)
                    here[self._forward] = evaluate(theta[self._forward])
                self._probe(rho, damping, theta, here, evaluate, settings)
            if self._random:
                k = settings.k_directions
                drawn = [draw_slope_lgi(k, seed=seed, step=t) for seed in self._seeds]
                damping[self._random] = _damping(losses.new_tensor(drawn), settings)
        if self._led_by:
            self._follow(damping, healthy)
        return rho, damping

    def forwards(self, settings: Settings) -> Tensor:
        """Forward passes that one step costs each run, (R,): 1, and what it probes."""
        k = settings.k_directions if settings.lgi_lambda > 0 else 0
        return 1 + k * self._ends

    def _probe(
        self,
        rho: Tensor,
        damping: Tensor,
        theta: Tensor,
        losses: Tensor,
        evaluate: Callable[[Tensor], Tensor],
        settings: Settings,
    ) -> None:
        """Measure the lanes that probe, in place on rho and damping (L, S)."""
        assert self.directions is not None
        reach = settings.sigma * self.directions.movedim(0, 1)

        def differences(lanes: list[int], reach: Tensor) -> Tensor:
            """(f(theta + reach) - f(theta)) / sigma of some lanes, (N, S, k)."""
            points = theta[lanes][:, None] + reach
            probes = evaluate(points.flatten(0, 1)).view(points.shape[:3])
            return ((probes - losses[lanes][:, None]) / settings.sigma).movedim(1, -1)

        forward = differences(self._forward, reach)
        rho[self._forward] = lgi(forward, settings.stabilize_eps)
        damping[self._probed] = _damping(rho[self._probed], settings)
        if self._backward:
            backward = differences(self._backward, -reach)
            both = [self._forward.index(i) for i in self._backward]
            damping[self._backward] = _damping(_asymmetry(forward[both], backward), settings)

    def _follow(self, damping: Tensor, healthy: Tensor) -> None:
        """Give the lanes that follow what their leaders have or had, in place on (L, S)."""
        now = damping[self._probed]
        counts = healthy[self._probed] & now.isfinite()
        shifted = torch.cat([self.recent[1:], now[None]])
        self.recent = torch.where(counts, shifted, self.recent)
        if self._matched:
            mean = self.recent.nanmean(0).nan_to_num(1.0)
            damping[self._matched] = mean[[self._led_by[i] for i in self._matched]]
        if self._swapped:
            next_seed = self.recent[-1].roll(-1, dims=-1).nan_to_num(1.0)
            damping[self._swapped] = next_seed[[self._led_by[i] for i in self._swapped]]

    def _draw_directions(self, t: int, settings: Settings) -> Tensor:
        """The unit directions of step t, (S, k, P), shared by the lanes of a seed."""
        objective, k = self._objective, settings.k_directions
        if self._draw is not None:
            raw = self._draw(t).to(objective.theta)
        else:
            drawn = [
                draw_directions(
                    k,
                    objective.layout,
                    seed=seed,
                    step=t,
                    dtype=objective.dtype,
                    device=objective.device,
                )
                for seed in self._seeds
            ]
            raw = torch.stack(drawn)
        expected = (len(self._seeds), k, objective.size)
        if tuple(raw.shape) != expected:
            raise ValueError(
                f"draw({t}) gave shape {tuple(raw.shape)}; "
                f"return raw draws of shape (seeds, k, parameters) = {expected}."
            )
        return normalize_directions(raw, objective.layout, sphere=settings.sphere)


def _lanes_of(lanes: Sequence[Lane], *dampings: str) -> list[int]:
    return [i for i, lane in enumerate(lanes) if lane.damping in dampings]


def _damping(instability: Tensor, settings: Settings) -> Tensor:
    return damping_from_lgi(instability, settings.lgi_lambda, settings.lgi_cap)


def _asymmetry(forward: Tensor, backward: Tensor) -> Tensor:
    """The asymmetry, 0 where no probe changed anything: LGI does not damp there either."""
    flat = (forward == 0).all(-1) & (backward == 0).all(-1)
    return torch.where(flat, 0.0, asymmetry(forward, backward))
