"""Which range loses least information about a value when it is cut and rounded to 8 bits?"""

from __future__ import annotations

import numpy as np

LEVELS = 128  # positive steps of a signed 8-bit number
CANDIDATES = 256  # ranges to try, evenly spread
SMALL = 1e-9  # what stands for an empty cell of a rounded distribution


def least_divergent(counts: np.ndarray, edges: np.ndarray, low: float, high: float) -> tuple[float, float]:
    """The range (min, max) by which a histogram differs least from its rounded self, by relative entropy.

    ``counts`` [B] and ``edges`` [B + 1] are symmetric about zero. The method is that of S. Migacz, "8-bit inference
    with TensorRT" (GTC 2017): for each bound, what is beyond it is counted in the last cell; the rest is merged
    to ``LEVELS`` levels, spread again over their cells that are not empty, and compared with the original.
    """
    half = len(counts) // 2
    sizes = (counts[-half:] + counts[:half][::-1]).astype(np.float64)
    bounds = edges[-half:]
    if len(sizes) > 1:
        sizes[0] = sizes[1]  # exact zeros, of which a ReLU leaves many, are lost by no range
    if half <= LEVELS or not sizes.any():
        return float(low), float(high)
    steps = np.unique(np.linspace(LEVELS, half, CANDIDATES).astype(int))
    beyond = np.concatenate([np.cumsum(sizes[::-1])[::-1], [0.0]])
    best = steps[int(np.argmin([_divergence(sizes[:n], beyond[n]) for n in steps]))]
    bound = float(bounds[best - 1])
    return max(float(low), -bound), min(float(high), bound)


def _divergence(cells: np.ndarray, beyond: float) -> float:
    """The relative entropy of ``cells`` [n], with what is ``beyond`` them in the last, to their rounded selves."""
    starts = np.arange(LEVELS) * len(cells) // LEVELS
    filled = cells > 0
    counts = np.add.reduceat(filled.astype(np.float64), starts)
    means = np.add.reduceat(cells, starts) / np.maximum(counts, 1)
    rounded = np.repeat(means, np.diff([*starts, len(cells)])) * filled
    original = cells.copy()
    original[-1] += beyond
    p, q = original / original.sum(), rounded / max(rounded.sum(), SMALL)
    seen = p > 0
    return float((p[seen] * np.log(p[seen] / np.maximum(q[seen], SMALL))).sum())
