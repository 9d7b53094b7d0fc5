"""A report in plain words: what the file holds, and two computed lines."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from app.charts.spec import number
from app.checkpoints import Checkpoint
from app.checkpoints.errors import shown
from app.report.findings import LayerReading, Report
from probes import jumps

#: Power of r with which mean|Delta4| grows: 4 where smooth; 2 to 1.5 among kinks and 1 to 0.5 among
#: jumps, as a crossing is as likely as r is wide and a kink's size grows with r. Half way between.
SMOOTH, KINKS = 3.0, 1.25
#: Radii the power is taken over, in units of sigma, either way.
SPAN = 8.0
#: A promise kept by less or by more than this is not kept.
KEPT = (0.5, 1.5)
#: Plain values of the file that are worth a word.
VALUES = 6


def found_in_file(checkpoint: Checkpoint) -> Iterator[str]:
    """What was found in the file, sentences; names are escaped.

    Args:
        checkpoint: of `read_checkpoint`.
    """
    meta, tensors = checkpoint.meta, checkpoint.tensors
    numbers = sum(tensor.numel() for tensor in tensors.values())
    form = {"torch": "a torch.save archive", "safetensors": "a safetensors file"}
    kinds = ", ".join(sorted(set(meta["dtypes"].values())))
    yield (
        f"{form[meta['format']].capitalize()} of {len(tensors)} tensors, {numbers:,} numbers "
        f"({kinds})."
    )
    if meta["wrapper"]:
        yield f"The weights lie under {shown(meta['wrapper'])}."
    if meta["prefix"]:
        yield f"The prefix {shown(meta['prefix'])} was taken off all names."
    adam = checkpoint.optimizer
    if adam is not None:
        steps = sorted({kept.step for kept in adam.moments.values()})
        at = f" after {steps[-1]:,} steps" if steps else ""
        rate = "" if adam.lr is None else f", learning rate {adam.lr:g}"
        yield f"Adam's state of {len(adam.moments)} parameters{at}{rate}."
    if meta["values"]:
        pairs = list(meta["values"].items())[:VALUES]
        yield "Beside them: " + ", ".join(f"{shown(k)} {shown(v)}" for k, v in pairs) + "."
    if meta["left_aside"]:
        aside = [shown(key) for key in list(meta["left_aside"])[:VALUES]]
        yield "Not read: " + ", ".join(aside) + "."


def summary(report: Report) -> tuple[str, str]:
    """Two lines, computed: where the weights sit, and whether an optimizer would chatter.

    Args:
        report: as far as it goes.
    """
    return _where(report), _chatter(report)


def roughness_at_sigma(report: Report) -> float:
    """Roughness at sigma over the pooled directions; nan where not resolved or not measured."""
    radii = report.readings.radii
    return float("nan") if radii is None else _at_sigma(report, radii.curves.ratio[0])


def fourth_at_sigma(report: Report) -> float:
    """mean|Delta4| at sigma over the pooled directions; nan before it is measured."""
    radii = report.readings.radii
    return float("nan") if radii is None else _at_sigma(report, radii.curves.mean_fourth[0])


def roughest(report: Report) -> tuple[int, LayerReading] | None:
    """The roughest layer and its number from 1, where any is resolved."""
    known = [(i, layer) for i, layer in enumerate(report.layers, 1) if np.isfinite(layer.rough)]
    return max(known, key=lambda pair: pair[1].rough) if known else None


def fourth_power(report: Report) -> float:
    """The power of r with which mean|Delta4| grows around sigma: its slope on log-log axes.

    Returns:
        About 4 where f is smooth, 2 to 1.5 among kinks, 1 to 0.5 among jumps; nan where it is
        resolved at fewer than two radii from sigma/8 to 8 sigma.
    """
    if report.readings.radii is None:
        return float("nan")
    curves, sigma = report.readings.radii.curves, report.readings.setup.sigma
    near = np.abs(np.log(curves.radii / sigma)) <= np.log(SPAN) + 1e-9
    known = near & curves.fourth_resolved[0] & (curves.mean_fourth[0] > 0)
    if known.sum() < 2:
        return float("nan")
    return float(
        np.polyfit(np.log(curves.radii[known]), np.log(curves.mean_fourth[0][known]), 1)[0]
    )


def texture(power: float, *, stairs: bool = False) -> str:
    """What the loss looks like, from the power of its fourth differences.

    Args:
        power: of `fourth_power`; nan means that rounding hides whatever there is. It scatters, as
            it comes from 16 directions.
        stairs: whether the network is known to round its weights, so that no power is needed.
    """
    if stairs:
        return "a staircase"
    if np.isnan(power):
        return "smooth as far as float64 tells"
    if power > SMOOTH:
        return "smooth"
    return "full of small kinks" if power > KINKS else "a staircase"


def share_of(share: float, whole: str) -> str:
    """A share of a whole in percent; from ten times on as a multiple, which reads easier."""
    return f"{share:.0%} of {whole}" if abs(share) < 10 else f"{number(share)} times {whole}"


def _at_sigma(report: Report, curve: np.ndarray) -> float:
    assert report.readings.radii is not None
    radii = report.readings.radii.curves.radii
    return float(curve[int(np.abs(np.log(radii / report.readings.setup.sigma)).argmin())])


def _where(report: Report) -> str:
    subject = report.subject
    data = f"on {subject.data}" + ("" if subject.real else " (not the model's real loss)")
    text = f"Loss {number(report.loss)}, {report.accuracy:.1%} right {data}"
    if report.unseen is not None:
        text += f", {report.unseen:.1%} on unseen ones"
    if report.readings.radii is None:
        return text + "."
    power, sigma = fourth_power(report), report.readings.setup.sigma
    looks = texture(power, stairs=subject.surrogate)
    text += f"; within {sigma:g} of the weights the loss is {looks}"
    if np.isfinite(power):
        size = number(fourth_at_sigma(report))
        text += f" (fourth differences {size}, growing as r^{power:.1f})"
    worst = roughest(report)
    if worst is not None and len(report.layers) > 1:
        text += f", roughest in layer {worst[0]} ({shown(worst[1].name)})"
    return text + "."


def _chatter(report: Report) -> str:
    step, edge = report.step, report.edge
    if step is None:
        return _without_step(report)
    line = step.line
    kept = line.got / line.promised if line.promised else float("nan")
    text = (
        f"Adam's next step (length {number(step.length)}, lr {step.lr:g}) promises a change of "
        f"{number(line.promised)} and gets {number(line.got)}: "
    )
    stairs = jumps(line)
    if line.promised >= 0:
        text += "its memory points uphill here"
    elif line.got > 0:
        text += "the loss rises though a fall was promised, so it would chatter"
    elif stairs:
        text += f"it crosses stairs, {stairs} within five steps, so it would chatter"
    elif not KEPT[0] <= kept <= KEPT[1]:
        text += f"{share_of(kept, 'its promise')}, so it would chatter"
    else:
        text += f"{kept:.0%} of its promise, so it would not chatter at this rate"
    if edge is not None and edge.share is not None:
        beyond = "beyond" if edge.share > 1 else "within"
        text += f"; sharpness is {share_of(edge.share, 'its limit')}, {beyond} stability"
    return (
        f"{text}; S-Adam would damp the step to {step.damping:.0%}, where a plain slope gives "
        f"{step.law:.0%} on average."
    )


def _without_step(report: Report) -> str:
    edge = report.edge
    if edge is None:
        return "Whether an optimizer would chatter here is not measured yet."
    found = edge.measured.value
    if edge.share is not None:
        return f"Sharpness is {share_of(edge.share, 'its limit')} at the file's learning rate."
    if not found > 0:
        return "The file has no optimizer state, and the loss has no upward curvature here."
    return (
        f"The file has no optimizer state; its sharpness {number(found)} lets plain gradient "
        f"descent diverge above a learning rate of {number(2.0 / found)}."
    )
