"""Many tensors as one vector: fewer, larger operations, and one draw for all of them."""

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["BLOCK_BYTES", "Block", "Flat", "copy_all"]

# Displaced points are made in blocks of at most this many bytes, which are kept from step to step:
# large enough that a block's operations outweigh their calls, small beside a network's activations.
BLOCK_BYTES = 16 << 20


def copy_all(targets: Sequence[Tensor], sources: Sequence[Tensor]) -> None:
    """Copy each of the sources into its target, in one call."""
    torch._foreach_copy_(list(targets), list(sources))  # pyright: ignore[reportPrivateImportUsage]


class Flat:
    """Tensors of one dtype on one device, read and written as one vector (P,).

    The tensors keep their own storage, so that whoever else holds them notices nothing.

    Args:
        tensors: at least one.

    Attributes:
        theta: (P,) what `read` found last.
        size: P.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.tensors = list(tensors)
        self._shapes = [tuple(t.shape) for t in self.tensors]
        self._sizes = [t.numel() for t in self.tensors]
        self.size = sum(self._sizes)
        self.theta = self.empty()
        self._theta_parts = self.parts(self.theta)
        self._blocks: dict[int, Block] = {}

    def empty(self, *rows: int) -> Tensor:
        """A tensor (*rows, P) of its dtype on its device, to be written."""
        first = self.tensors[0]
        return torch.empty(*rows, self.size, dtype=first.dtype, device=first.device)

    def pieces(self, vectors: Tensor) -> tuple[Tensor, ...]:
        """Vectors (..., P) cut into the flat part of each tensor, views (..., size)."""
        return vectors.split(self._sizes, dim=-1)

    def parts(self, vectors: Tensor) -> list[Tensor]:
        """Vectors (..., P) as views of the tensors' shapes, (..., *shape)."""
        lead = vectors.shape[:-1]
        pieces = self.pieces(vectors)
        return [p.view(lead + shape) for p, shape in zip(pieces, self._shapes, strict=True)]

    def read(self) -> None:
        """Read the tensors into theta."""
        copy_all(self._theta_parts, self.tensors)

    def write(self, parts: Sequence[Tensor] | None = None) -> None:
        """Copy parts of the tensors' shapes, or else theta, into the tensors."""
        copy_all(self.tensors, self._theta_parts if parts is None else parts)

    def block(self, rows: int) -> "Block":
        """Room for so many points; the same again at the next step, where it is small."""
        if rows not in self._blocks:
            made = Block(self, rows)
            if made.points.nbytes > BLOCK_BYTES:
                return made
            self._blocks = {rows: made}
        return self._blocks[rows]


class Block:
    """Points (rows, P) in the shapes of a flat's tensors, by tensor and by point.

    Attributes:
        points: (rows, P).
        pieces: of each tensor, views (rows, size).
        rows: of each point, views of the tensors' shapes.
    """

    def __init__(self, flat: Flat, rows: int) -> None:
        self.points = flat.empty(rows)
        self.pieces = flat.pieces(self.points)
        columns = (part.unbind(0) for part in flat.parts(self.points))
        self.rows = [list(row) for row in zip(*columns, strict=True)]
