"""The points at which a step probes, made many at a time out of fresh or given draws."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from probes.directions import NORM_EPS
from sadam.flat import BLOCK_BYTES, Block, Flat, copy_all
from sadam.settings import Sphere

__all__ = ["Draw", "Points", "check_directions", "fresh", "given"]

#: (start, stop, blocks) writes raw standard normal draws of u_start, ..., u_stop-1 into the block
#: of each of the flats.
Draw = Callable[[int, int, list[Block]], None]


class Points:
    """The points theta + sigma u_i, i = 1..k; each tensor of u_i, or all of it, has unit norm.

    Args:
        flats: what is displaced, one vector a dtype and device, from its `theta`.
        draw: asked for each direction once.
        k: number of points.
        sigma: length of a displacement.
        sphere: "tensor" or "global", see `SAdam`.
    """

    def __init__(
        self, flats: Sequence[Flat], draw: Draw, *, k: int, sigma: float, sphere: Sphere
    ) -> None:
        self.flats = flats
        self.k = k
        self._draw = draw
        self._sigma = sigma
        self._sphere = sphere

    def blocks(self) -> Iterator[list[Block]]:
        """The points, some at a time: a block for each of the flats, good until the next."""
        rows = max(1, BLOCK_BYTES // sum(flat.theta.nbytes for flat in self.flats))
        for start in range(0, self.k, rows):
            yield self._made(start, min(start + rows, self.k))

    def together(self) -> list[Block]:
        """All points, a block for each of the flats."""
        return self._made(0, self.k)

    def _made(self, start: int, stop: int) -> list[Block]:
        blocks = [flat.block(stop - start) for flat in self.flats]
        self._draw(start, stop, blocks)
        norms = [
            torch.stack([torch.linalg.vector_norm(piece, dim=1) for piece in block.pieces])
            for block in blocks
        ]
        if self._sphere == "global":
            first = norms[0]
            whole = torch.linalg.vector_norm(torch.cat([n.to(first) for n in norms]), dim=0)
            norms = [whole.to(n).expand_as(n) for n in norms]
        for flat, block, norm in zip(self.flats, blocks, norms, strict=True):
            reaches = (self._sigma / (norm + NORM_EPS)).unsqueeze(2)
            for piece, reach in zip(block.pieces, reaches, strict=True):
                piece.mul_(reach)
            block.points.add_(flat.theta)
        return blocks


def fresh(_start: int, _stop: int, blocks: list[Block]) -> None:
    """Draws from torch's global generator of each device, one call a block."""
    for block in blocks:
        block.points.normal_()


def given(
    flats: Sequence[Flat], every: Sequence[Tensor], directions: Sequence[Sequence[Tensor]]
) -> Draw:
    """Draws out of given ones, k lists of one for each of `every` parameter."""
    places = {id(p): j for j, p in enumerate(every)}

    def draw(start: int, stop: int, blocks: list[Block]) -> None:
        for flat, block in zip(flats, blocks, strict=True):
            for row, own in zip(block.rows, directions[start:stop], strict=True):
                copy_all(row, [own[places[id(p)]] for p in flat.tensors])

    return draw


def check_directions(
    directions: Sequence[Sequence[Tensor]], params: Sequence[Tensor], k: int
) -> None:
    """Hold given directions to k lists of one draw a parameter.

    Raises:
        ValueError: the number of lists, or the first list whose shapes do not fit.
    """
    if len(directions) != k:
        raise ValueError(
            f"directions holds {len(directions)} lists and k_directions is {k}; give one list of "
            "tensors for each probe."
        )
    for i, direction in enumerate(directions):
        found = [tuple(draw.shape) for draw in direction]
        expected = [tuple(p.shape) for p in params]
        if found != expected:
            raise ValueError(
                f"directions[{i}] has shapes {found} and the parameters have {expected}; give one "
                "draw a parameter, in the order of the groups."
            )
