"""Measurement of a loss around points of its parameter space; knows no optimizer and no page."""

from probes.instability import instabilities, instability
from probes.maps import clarke_maps, instability_map, instability_maps
from probes.objective import Objective
from probes.planes import Plane, fidelity, pca_plane, random_plane, start_end_plane, step_plane
from probes.roughness import Roughness, roughness_curves
from probes.slices import loss_slice, loss_slices
from probes.stationarity import Clarke, clarke, clarke_scales, min_norm
from probes.step_line import StepLine, jumps, step_lines

__all__ = [
    "Clarke",
    "Objective",
    "Plane",
    "Roughness",
    "StepLine",
    "clarke",
    "clarke_maps",
    "clarke_scales",
    "fidelity",
    "instabilities",
    "instability",
    "instability_map",
    "instability_maps",
    "jumps",
    "loss_slice",
    "loss_slices",
    "min_norm",
    "pca_plane",
    "random_plane",
    "roughness_curves",
    "start_end_plane",
    "step_lines",
    "step_plane",
]
