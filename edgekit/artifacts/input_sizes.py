"""Which canvas suits photos: the one on which they run near the scale that the model was trained with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.artifacts.detector_settings import DetectorSettings
from edgekit.errors import EdgekitError

Size = tuple[int, int]  # (height, width) in pixels

LOW_SCALE = 0.8  # of a photo on the canvas, as a share of the model's own resizing rule, below which a canvas is unfit
SUITED = 0.9  # of the photos that a canvas must suit
MOST_SHAPES = 20  # of photos that are tried as a canvas, the most frequent ones


@dataclass(frozen=True)
class CanvasChoice:
    """A canvas for photos, with the share of the model's own scale that their median runs at on it.

    ``default`` and ``default_share`` are the same of the model's own canvas.
    """

    size: Size
    share: float
    default: Size
    default_share: float

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user is told of a canvas that is not the model's own."""
        if self.size == self.default:
            return ()
        text = (
            f"an input of {_shown(self.size)} is used, which suits the photos: on the model's own, "
            f"{_shown(self.default)}, they would run at {self.default_share:.0%} of the scale that it was trained with"
        )
        return (text,)


def check_size(size: tuple[int, int]) -> tuple[int, int]:
    """``size`` (height, width), if the FPN can take it."""
    if min(size) < 64 or any(s % 32 for s in size):
        raise EdgekitError(
            f"size {size[0]}x{size[1]}: not a size the FPN can take", "give multiples of 32, at least 64x64"
        )
    return size


def choose_input_size(settings: DetectorSettings, photos: Sequence[Size]) -> CanvasChoice:
    """The canvas for photos of these shapes (height, width): the model's own if it suits them, else the smallest that
    does, else the one that comes nearest."""
    default = settings.input_size
    shares = {size: _shares(settings, size, photos) for size in (default, *_candidates(settings, photos))}
    suited = [size for size, found in shares.items() if sum(s >= LOW_SCALE for s in found) >= SUITED * len(found)]
    if default in suited:
        best = default
    elif suited:
        best = min(suited, key=lambda size: size[0] * size[1])
    else:
        best = max(shares, key=lambda size: _median(shares[size]))
    return CanvasChoice(best, _median(shares[best]), default, _median(shares[default]))


def median_share(settings: DetectorSettings, size: Size, photos: Sequence[Size]) -> float:
    """The share of the model's own scale that the median photo runs at on a canvas."""
    return _median(_shares(settings, size, photos))


def _candidates(settings: DetectorSettings, photos: Sequence[Size]) -> list[Size]:
    """The canvases of the photos' own shapes, and the square one that holds both orientations."""
    common = [shape for shape, _ in Counter(photos).most_common(MOST_SHAPES)]
    own = list(dict.fromkeys(settings.input_size_for(shape) for shape in common))
    side = max(max(size) for size in own)
    return [*own, (side, side)]


def _shares(settings: DetectorSettings, size: Size, photos: Sequence[Size]) -> list[float]:
    return [min(size[0] / h, size[1] / w) / settings.photo_scale((h, w)) for h, w in photos]


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def _shown(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
