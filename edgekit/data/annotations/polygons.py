"""Whether a polygon outlines one shape or crosses itself."""

from __future__ import annotations

import numpy as np

# Hand-drawn outlines cross themselves by a fraction of a pixel; a crossing counts where it cuts off more of the area.
LOOP = 0.05
_ROWS = 512  # edges compared at once with all others, which bounds the memory


def signed_area(points: np.ndarray) -> float:
    """The shoelace formula: the area [pixels] that points [N, 2] go round, negative where they go the other way."""
    x, y = points.T
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)


def crosses_itself(points: np.ndarray) -> bool:
    """Whether edges of the polygon [N, 2] cross and cut off more than ``LOOP`` of its area, as a bow-tie's do.

    Edges that only touch do not cross, nor do the zero-width seams by which exporters join the parts of an object.
    """
    ends = np.roll(points, -1, axis=0)
    total = signed_area(points)
    real = _without_seams(points, ends)
    for first in range(0, len(points), _ROWS):
        rows = np.arange(first, min(first + _ROWS, len(points)))
        crossed = _cross(points[rows], ends[rows], points, ends) & real[rows, None] & real[None]
        for i, j in zip(*np.nonzero(crossed), strict=True):
            a, b = int(rows[i]), int(j)
            if a < b:
                corner = _intersection(points[a], ends[a], points[b], ends[b])
                loop = signed_area(np.vstack([corner, points[a + 1 : b + 1]]))
                parts = abs(loop), abs(total - loop)
                if min(parts) > LOOP * sum(parts):
                    return True
    return False


def _without_seams(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Which edges are not also drawn backwards, bool [N]."""
    edges = [(*map(float, s), *map(float, e)) for s, e in zip(starts, ends, strict=True)]
    drawn = set(edges)
    return np.array([(x2, y2, x1, y1) not in drawn for x1, y1, x2, y2 in edges])


def _cross(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Which edges a-b [M, 2] properly cross which edges c-d [N, 2], bool [M, N]."""
    apart = _side(a[:, None], b[:, None], c[None]) * _side(a[:, None], b[:, None], d[None]) < 0
    return apart & (_side(c[None], d[None], a[:, None]) * _side(c[None], d[None], b[:, None]) < 0)


def _side(a: np.ndarray, b: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Which side of the line a-b the point p is on: the sign of the result."""
    return (b[..., 0] - a[..., 0]) * (p[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (p[..., 0] - a[..., 0])


def _intersection(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    start, end = _side(c, d, a), _side(c, d, b)
    return a + (b - a) * start / (start - end)
