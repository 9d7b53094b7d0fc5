"""What a flat row of pixels is as an image, from its length alone."""

import math


def image_shape(features: int, smallest: int) -> tuple[int, int, int]:
    """Return (channels, side, side) of a square image of 1 or 3 channels.

    No number is both s^2 and 3 s^2, so the length alone tells which.

    Args:
        features: numbers a sample, channel by channel, each row by row.
        smallest: side that the network needs.

    Raises:
        ValueError: no such image, or a smaller one.
    """
    for channels in (1, 3):
        side = math.isqrt(features // channels)
        if channels * side * side == features and side >= smallest:
            return channels, side, side
    raise ValueError(
        f"This network got {features} features a sample; expected a square image of 1 or 3 "
        f"channels, at least {smallest} x {smallest}. Use an MLP for this data."
    )
