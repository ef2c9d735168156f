"""What a benchmark is asked to measure, and the photos that it measures on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekit.data.annotations.dataset import Dataset
from edgekit.data.annotations.faults import Faults
from edgekit.data.images import SAMPLE_PHOTOS, list_images
from edgekit.errors import EdgekitError
from edgekit.measurement.evaluate import read_annotated
from edgekit.model.hints import CheckpointHints

RUNS = 50
MOST_PHOTOS = 64  # of a folder, spread evenly over it


@dataclass(frozen=True)
class BenchOptions:
    """What to measure; raises EdgekitError for values that exclude each other.

    ``images`` is a folder of photos (by default those that come with edgekit), ``data`` annotates them, for AP. Each
    artifact is timed ``runs`` times (50), or all of them for ``seconds``. ``providers`` are onnxruntime's to run each
    ONNX file on (cpu, cuda, tensorrt). ``compiled`` adds each checkpoint under torch.compile. ``packs`` are used with
    checkpoints and whole graphs.
    """

    images: Path | None = None
    data: Path | None = None
    runs: int | None = None
    seconds: float | None = None
    batch: int = 1
    streams: int = 1
    providers: tuple[str, ...] = ()
    compiled: bool = False
    profile: bool = False
    hints: CheckpointHints = CheckpointHints()
    packs: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if self.runs is not None and self.seconds is not None:
            raise EdgekitError(
                f"--runs {self.runs} and --seconds {self.seconds:g} exclude each other", "give one of them"
            )
        for option in ("runs", "seconds", "batch", "streams"):
            value = getattr(self, option)
            if value is not None and not 0 < value < float("inf"):
                raise EdgekitError(f"--{option} {value:g}: nothing to time", "give 1 or more")
        if self.batch > 1 and self.streams > 1:
            raise EdgekitError(
                f"--batch {self.batch} and --streams {self.streams} exclude each other",
                "measure one, then the other",
            )
        if self.data is not None and self.images is None:
            raise EdgekitError(f"--data {self.data}: annotates photos of an unknown folder", "give it with --images")

    @property
    def rounds(self) -> int | None:
        """How often each artifact is timed; None where ``seconds`` says when to end."""
        return None if self.seconds is not None else self.runs or RUNS

    def photos(self) -> tuple[Path, ...]:
        """At most ``MOST_PHOTOS`` of the folder's photos."""
        found = list_images(self.images or SAMPLE_PHOTOS)
        chosen = np.unique(np.linspace(0, len(found) - 1, min(len(found), MOST_PHOTOS)).round().astype(int))
        return tuple(found[i] for i in chosen)

    def annotated(self) -> Dataset | None:
        """The photos to measure AP on, all of which can be read; None where that is not asked for."""
        if self.data is None or self.images is None:
            return None
        return read_annotated(self.data, self.images, Faults())


def calls_of(photos: tuple[Path, ...], batch: int) -> list[tuple[Path, ...]]:
    """The photos of each call, in turn."""
    count = len(photos)
    return [tuple(photos[(i + k) % count] for k in range(batch)) for i in range(0, count, batch)]
