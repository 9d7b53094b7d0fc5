"""Measurement of a loss around points of its parameter space; knows no optimizer and no page."""

from probes.instability import instability, instability_map, instability_maps
from probes.objective import Objective
from probes.planes import Plane, fidelity, pca_plane, random_plane, start_end_plane, step_plane
from probes.slices import loss_slice, loss_slices
from probes.step_line import StepLine, jumps, step_lines

__all__ = [
    "Objective",
    "Plane",
    "StepLine",
    "fidelity",
    "instability",
    "instability_map",
    "instability_maps",
    "jumps",
    "loss_slice",
    "loss_slices",
    "pca_plane",
    "random_plane",
    "start_end_plane",
    "step_lines",
    "step_plane",
]
