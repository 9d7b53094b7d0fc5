"""The measures that need differences along k directions alone, and LGI's law on a slope."""

from __future__ import annotations

import torch
from scipy.special import hyp1f1
from torch import Tensor

# The released S-Adam's stabilize_eps.
ZETA = 1e-6


def lgi(differences: Tensor, zeta: float = ZETA) -> Tensor:
    """rho = Var(D, unbiased) / (mean(D^2) + zeta), between 0 and k/(k-1).

    Source: arXiv 2605.29547 in the form of its released code.

    Args:
        differences: D+, (..., k). k = 1 gives 0.
        zeta: at least 0. Above 0 it breaks invariance under scaling of f; at 0 a constant
            function gives nan.

    Returns:
        (...).
    """
    return variance(differences) / (differences.square().mean(dim=-1) + zeta)


def variance(differences: Tensor) -> Tensor:
    """Var(D, unbiased) over the last axis, (..., k) -> (...); k = 1 gives 0."""
    if differences.shape[-1] == 1:
        return torch.zeros_like(differences[..., 0])
    return differences.var(dim=-1)


def asymmetry(forward: Tensor, backward: Tensor) -> Tensor:
    """mean|D+ + D-| / mean(|D+| + |D-|), in [0, 1]: do opposite changes fail to cancel?

    0 on a smooth slope; 1 at a smooth minimum as at a kink's, so it is never read alone; nan
    where nothing changes at all.

    Args:
        forward: D+, (..., k).
        backward: D-, (..., k).

    Returns:
        (...).
    """
    total = (forward.abs() + backward.abs()).mean(dim=-1)
    return (forward + backward).abs().mean(dim=-1) / total


def mean_damping_on_slope(k: int, lgi_lambda: float) -> float:
    """The mean of exp(-lambda rho) on a plain slope, for many parameters.

    There the D_i are independent and normal, so rho ~ k/(k-1) Beta((k-1)/2, 1/2), and the mean
    is Kummer's 1F1((k-1)/2; k/2; -lambda k/(k-1)): exp(-lambda) I0(lambda) for k = 2. S-Adam's
    cap of 10 never acts, as rho is at most 2.

    Args:
        k: number of directions, at least 1; k = 1 measures no variance and damps nothing.
        lgi_lambda: at least 0.

    Returns:
        The mean damping, in (0, 1].
    """
    if k == 1:
        return 1.0
    return float(hyp1f1((k - 1) / 2, k / 2, -lgi_lambda * k / (k - 1)))
