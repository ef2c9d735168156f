"""Grey images of more than 8 bits, as thermal and industrial cameras write them, scaled to 8 bits."""

from __future__ import annotations

import numpy as np
from PIL import Image

CLIPPED = 0.001  # of the pixels may lie beyond each end of the range: a sensor's dead pixels do not decide it


def eight_bit(image: Image.Image) -> Image.Image:
    """An image of 16 or 32-bit integers or floats (Pillow's modes I;16, I;16B, I and F) in mode L, any other as it is.

    Such files do not say how many of their bits are used: thermal cameras fill a few hundred counts of 65,536. So each
    image is stretched by its own range: the value that 0.1% of its pixels lie below becomes 0, the one that 0.1% lie
    above 255, linearly in between. An image of one value becomes black. NaN is black, infinity as the nearest end.
    """
    if image.mode != "F" and not image.mode.startswith("I"):
        return image
    values = np.asarray(image).astype(np.float64)
    finite = np.sort(values[np.isfinite(values)])
    if not finite.size:
        return Image.new("L", image.size)
    beyond = int(CLIPPED * finite.size)
    low, high = finite[beyond], finite[-1 - beyond]
    if low == high:  # so much of it is of one value that only what is left shows anything
        low, high = finite[0], finite[-1]
    share = (np.nan_to_num(values, nan=low, posinf=high, neginf=low) - low) / max(high - low, np.finfo(float).tiny)
    return Image.fromarray(np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8))
