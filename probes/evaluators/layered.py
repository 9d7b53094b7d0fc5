"""Losses of a stack of known layers, layer by layer, on a CPU.

Against `vmap` and a plain loop it saves by never leaving the cache and by allocating little:
samples and points are cut so that the activations of one call stay near the cores, products write
into buffers that are kept, and samples stand innermost, which makes the narrow last layer and the
loss as fast as the wide ones. On a plane the first layer is linear in the coordinates, so three
products with the data serve all points.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from probes.evaluators.criteria import stacked_criterion
from probes.evaluators.layers import Convolution, Dense, Patches, Weights
from probes.evaluators.reading import RefusedError, read_stages
from probes.frozen import ModuleLoss

# The widest activations of one call, in bytes: about a core's second cache. Measured flat to 10%
# within a factor of 4 either way.
CACHE_BYTES = 1 << 20
# Points that share such a call where the layers are linear: enough that two cores find work.
TOGETHER = 4

# Writes the first layer's product with a tile of samples into a buffer (g, out, n).
Enter = Callable[[int, Tensor], None]


class Layered:
    """Evaluates losses of an MLP or a CNN; serves one thread.

    Args:
        source: the module and its data; `layers` says what may be in it.
        theta: any point, (P,); for dtype and device.
        memory_bytes: what one call may use.

    Attributes:
        chunk: points a call that keep within cache and budget.

    Raises:
        RefusedError: the module holds something else; the text says what.
    """

    def __init__(self, source: ModuleLoss, theta: Tensor, memory_bytes: int) -> None:
        data, targets = source.batch
        if theta.device.type != "cpu":
            raise RefusedError("an accelerator does better with all points at once")
        if data.dtype != theta.dtype or len(data) == 0:
            raise RefusedError(f"its inputs are {len(data)} samples of {data.dtype}")
        entries = {entry.name: entry for entry in source.layout}
        named = source.module.named_parameters()
        trained = {id(p): entries[name] for name, p in named if name in entries}
        self._memory = memory_bytes
        self._kept: dict[tuple[int, int], Tensor] = {}
        with torch.no_grad():
            inputs, self._stages = read_stages(source.module, trained, data)
            self._choose_patches(inputs)
            output = source.module(data)
            self._samples = len(output)
            self._criterion = stacked_criterion(source.loss_fn, output, targets)
            self._bounds, self.chunk = self._cut(inputs.element_size())
            self._tiles = [self._stages[0].fitted(inputs[a:b]) for a, b in pairwise(self._bounds)]

    def losses(self, points: Tensor) -> Tensor:
        """f at points (g, P) -> (g,), in one call: the caller keeps to `chunk`."""
        weights = [stage.weights(points) for stage in self._stages]
        first = self._stages[0]

        def enter(tile: int, out: Tensor) -> None:
            assert isinstance(first, Dense)
            first.product(weights[0], self._tiles[tile].expand(len(points), -1, -1), out)

        return self._through(weights, len(points), enter)

    def spanned(self, origin: Tensor, axes: Tensor) -> Callable[[Tensor], Tensor] | None:
        """f at origin + coordinates @ axes, where the first layer is linear in the coordinates.

        Args:
            origin: (P,).
            axes: (K, P).

        Returns:
            (g, K) -> (g,), in one call; None where the first layer is rounded, a convolution
            (which costs little) or the only one, or where its products with the data take more
            than a quarter of the budget.
        """
        first = self._stages[0]
        if not isinstance(first, Dense) or len(self._stages) == 1 or first.rounding is not None:
            return None
        size = (len(axes) + 1) * self._samples * first.layer.out_features * origin.element_size()
        if 4 * size > self._memory:
            return None
        basis = first.weights(torch.cat((origin[None], axes)))
        products = []  # (K + 1, out n) of each tile
        for tile in self._tiles:
            product = tile.new_empty(len(axes) + 1, first.layer.out_features, tile.shape[1])
            first.product(basis, tile.expand(len(axes) + 1, -1, -1), product)
            products.append(product.flatten(1))

        def losses(coordinates: Tensor) -> Tensor:
            points = origin + coordinates @ axes
            mixture = torch.cat((torch.ones_like(coordinates[:, :1]), coordinates), dim=1)

            def enter(tile: int, out: Tensor) -> None:
                torch.mm(mixture, products[tile], out=out.view(len(out), -1))

            weights: list[Weights] = [(mixture, None)]
            weights += [stage.weights(points) for stage in self._stages[1:]]
            return self._through(weights, len(points), enter)

        return losses

    def _through(self, weights: list[Weights], g: int, enter: Enter) -> Tensor:
        """Takes all tiles through all layers, and the outputs to the loss."""
        outputs = self._buffer(-1, self._samples, self._stages[-1].layer.out_features, g)
        for tile, (start, stop) in enumerate(pairwise(self._bounds)):
            x = self._tiles[tile]
            for i, stage in enumerate(self._stages):
                if isinstance(stage, Convolution):
                    x = stage.images(weights[i], x)
                    continue
                out = self._buffer(i, stop - start, stage.layer.out_features, g)
                if i == 0:
                    enter(tile, out)
                else:
                    stage.product(weights[i], x, out)
                stage.finish(out)
                x = out
            if len(self._tiles) == 1:
                return self._criterion(x)
            outputs[:, :, start:stop] = x
        return self._criterion(outputs)

    def _buffer(self, stage: int, samples: int, rows: int, g: int) -> Tensor:
        """(g, rows, samples), kept from call to call."""
        kept = self._kept.get((stage, samples))
        if kept is None or len(kept) < g:
            like = self._tiles[0]
            kept = torch.empty(g, rows, samples, dtype=like.dtype)
            self._kept[stage, samples] = kept
        return kept[:g]

    def _cut(self, itemsize: int) -> tuple[list[int], int]:
        """Where the samples are cut into tiles, and how many points share a call."""
        widest = itemsize * max(stage.width for stage in self._stages)
        convolves = isinstance(self._stages[0], Convolution)
        together = 1 if convolves else TOGETHER
        whole = any(stage.whole for stage in self._stages)
        tiles = 1 if whole else max(1, round(self._samples * together * widest / CACHE_BYTES))
        tiles = min(tiles, self._samples)
        tile = -(-self._samples // tiles)
        held = itemsize * sum(3 * s.size + s.width * tile for s in self._stages)
        fitting = min(CACHE_BYTES // (tile * widest), self._memory // held)
        bounds = [self._samples * i // tiles for i in range(tiles + 1)]
        return bounds, 1 if convolves else max(1, fitting)

    def _choose_patches(self, inputs: Tensor) -> None:
        """Turns a first convolution into a product with patches, where these fit the budget."""
        first = self._stages[0]
        if not isinstance(first, Convolution) or not Patches.allows(first):
            return
        patches = Patches.of(first, inputs[:1])
        if 4 * len(inputs) * patches.fitted(inputs[:1]).nbytes <= self._memory:
            self._stages[0] = patches
