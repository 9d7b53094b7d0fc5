"""Train from here: where the lab starts when it goes on from a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from app.checkpoints import Checkpoint
from app.checkpoints.errors import shown
from app.report.network import Network
from app.report.step import StateProblem, moments_of
from probes.layout import flattened


@dataclass(frozen=True, eq=False)
class Start:
    """What every lane starts from.

    Args:
        scenario: the lab's scenario whose network this is.
        bits: that network's rounding.
        theta: (P,) float32, in the order of `named_parameters`.
        moments: Adam's m and v (P,) and the steps it had taken, which its bias correction goes on
            counting, for lanes of that rule; None where the file has none that fit.
        lr: learning rate of the file, or None.
        words: one sentence for the page; names in it are escaped.
    """

    scenario: str
    bits: int
    theta: Tensor
    moments: tuple[Tensor, Tensor, int] | None
    lr: float | None
    words: str


def start_of(network: Network, checkpoint: Checkpoint, file: str) -> Start | None:
    """Where the lab can go on from.

    Args:
        network: of the checkpoint.
        checkpoint: with Adam's state or without.
        file: the upload's name.

    Returns:
        The start, without moments where the state does not fit; None for a network that is no
        demo network, as the lab has no data for it.
    """
    if network.scenario is None:
        return None
    spec = network.scenario.network
    assert spec is not None
    theta, layout = flattened(network.module)
    state = checkpoint.optimizer
    moments, told = None, "the file has no state of Adam's that fits"
    if state is not None:
        try:
            kept = moments_of(layout, network, state)
        except StateProblem:
            pass
        else:
            moments = (kept.m.to(theta), kept.v.to(theta), kept.step)
            told = f"AdamW and S-Adam go on with the file's moments of {kept.step:,} steps"
    words = f"Every optimizer starts from the weights of {shown(file)}; {told}."
    lr = None if state is None else state.lr
    return Start(network.scenario.key, spec.weight_bits, theta, moments, lr, words)
