"""A float32 graph in another precision: the one entry to this package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx

from edgekit.data.images import SAMPLE_PHOTOS, list_images
from edgekit.deployment.edits.layers import matching
from edgekit.deployment.precision.calibration import Table, calibrate, canvas, extremes, fits, read_table
from edgekit.deployment.precision.calibration_sets import photos_of_set, read_set
from edgekit.deployment.precision.half import half_values, oversized, to_fp16, too_large
from edgekit.deployment.precision.keep import Search, find_keep
from edgekit.deployment.precision.quantise import calibrated_values, quantise, with_own_biases
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import sha256
from edgekit.graphs.editing import graph_of
from edgekit.graphs.static_check import check_static
from edgekit.progress import Track, silent

PRECISIONS = ("fp32", "fp16", "int8")
AUTO = "auto"
SEARCH_PHOTOS = 48  # of the calibration's, to find by what to keep
# To find by what to keep. Drawn scenes hold 3.3 detections each: of those of 16 photos one that is lost is a difference
# of 0.02, more than ``keep.BOUND``, so that noise decides (4 to 8 photos kept 3 to 11 blocks, 53% to 92% in 8 bits).
LEAST_PHOTOS = 24
JUDGED_PHOTOS = 64  # of the calibration's, to compare the result on


@dataclass(frozen=True)
class Conversion:
    """The precision that a graph is converted to, and how."""

    precision: str | None = None  # "fp16" or "int8"; None, "fp32": none
    target: str = "tensorrt"  # what an int8 graph is made for, or "cpu"
    calibration: Path | None = None  # folder of photos, description of a calibration set, or calibration table
    keep: tuple[str, ...] = (AUTO,)  # blocks or layers that stay float32; "auto": those that cost accuracy; "none"

    @property
    def explicit(self) -> tuple[str, ...]:
        """The blocks and layers that are named to stay float32."""
        return tuple(k for k in self.keep if k not in (AUTO, "none"))

    @property
    def searches(self) -> bool:
        """Whether what stays float32 is found by measurement."""
        return AUTO in self.keep


@dataclass(frozen=True)
class Converted:
    """A graph in its new precision, the blocks and layers that are ``kept`` in float32, and what to know of it."""

    model: onnx.ModelProto
    kept: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def convert(
    model: onnx.ModelProto,
    conversion: Conversion,
    input_size: tuple[int, int],
    table: Path | None = None,
    track: Track = silent,
) -> Converted:
    """Convert a float32 graph to "fp16" or "int8"; "fp32" is the graph itself.

    int8 needs a ``calibration``; fp16 looks at the photos that come with edgekit by default. ``table`` is where the
    measured ranges are kept: they are measured again only for another graph or photos.
    """
    precision, calibration = conversion.precision or "fp32", conversion.calibration
    if precision not in PRECISIONS:
        raise EdgekitError(f"--precision {precision}: unknown", f"give one of: {', '.join(PRECISIONS)}")
    matching(graph_of(model), conversion.explicit)  # raises for an unknown one before any work
    if precision == "fp32":
        return Converted(model)
    check_calibration(conversion)
    folder = photos_meant(calibration)
    if precision == "fp16":
        return _fp16(model, conversion, input_size, folder or SAMPLE_PHOTOS, track)
    assert calibration is not None
    prepared = with_own_biases(model)
    if folder is None:
        ranges = read_table(calibration)
        fits(ranges, prepared, calibration)
    else:
        ranges = calibrate(prepared, calibrated_values(prepared), folder, input_size, table=table, track=track)
    return _int8(prepared, conversion, ranges, folder, track)


def check_calibration(conversion: Conversion) -> None:
    """Raise if the calibration is not what a conversion to fp16 or int8 needs."""
    calibration, int8 = conversion.calibration, conversion.precision == "int8"
    if calibration is None:
        if int8:
            raise EdgekitError("--precision int8: needs photos to calibrate on", "give a folder of some: --calibration")
        return
    folder = photos_meant(calibration)
    if folder is not None:
        given = len({sha256(p) for p in list_images(folder)})
        if int8 and conversion.searches and given < LEAST_PHOTOS:
            raise EdgekitError(
                f"{calibration}: --keep auto for int8 needs at least {LEAST_PHOTOS} different photos, not {given}",
                "give more, 30 to 100 like those the model will see; or say what stays in float32: --keep none, or "
                "blocks",
            )
        return
    read_table(calibration)
    if not int8:
        message = f"{calibration}: is a table for int8, {conversion.precision} looks at photos"
        raise EdgekitError(message, "give a folder of photos")
    if conversion.searches:
        raise EdgekitError(
            "--keep auto: needs photos, not a table alone",
            "give --keep none or the blocks to keep, or --calibration a folder of photos",
        )


def photos_meant(calibration: Path | None) -> Path | None:
    """The folder of photos that ``calibration`` means; None for a table."""
    if calibration is None or calibration.suffix.lower() != ".json":
        return calibration
    described = read_set(calibration)
    return photos_of_set(described, calibration) if described is not None else None


def searched_photos(photos: Sequence[Path]) -> list[Path]:
    """Of the photos that a graph was calibrated on, those to find by what to keep."""
    return _spread(photos, SEARCH_PHOTOS)


def judging_photos(folder: Path) -> list[Path]:
    """Of the photos that a graph was calibrated on, those to compare it on: first those that no search looked at."""
    photos = list_images(folder)
    searched = searched_photos(photos)
    unseen = [p for p in photos if p not in searched]
    return [*_spread(unseen, JUDGED_PHOTOS), *searched][:JUDGED_PHOTOS]


def _fp16(
    model: onnx.ModelProto, conversion: Conversion, size: tuple[int, int], folder: Path, track: Track
) -> Converted:
    ranges = extremes(model, half_values(model), folder, size, track)
    large = too_large(model, ranges)
    made = _with_kept(model, conversion, lambda kept: to_fp16(model, kept, large), size, folder, track)
    beyond = tuple(sorted({*large, *oversized(graph_of(model))}))
    notes = [f"values or weights beyond half's range: {', '.join(beyond)} stay float32"] if beyond else []
    return Converted(made.model, (*made.kept, *beyond), (*notes, *made.notes))


def _int8(
    prepared: onnx.ModelProto, conversion: Conversion, ranges: Table, folder: Path | None, track: Track
) -> Converted:
    def build(kept: tuple[str, ...]) -> onnx.ModelProto:
        return quantise(prepared, ranges, conversion.target, kept)

    made = _with_kept(prepared, conversion, build, ranges.input_size, folder, track)
    return replace(made, notes=(f"calibrated on {len(ranges.images)} photos", *made.notes))


def _with_kept(
    model: onnx.ModelProto,
    conversion: Conversion,
    build: Callable[[tuple[str, ...]], onnx.ModelProto],
    size: tuple[int, int],
    folder: Path | None,
    track: Track,
) -> Converted:
    """What ``build`` makes with the blocks kept that are named, and with those that a search on photos finds."""
    explicit, found, notes = conversion.explicit, tuple[str, ...](), tuple[str, ...]()
    if conversion.searches and folder:
        canvases = [canvas(p, size) for p in searched_photos(list_images(folder))]
        search = find_keep(model, lambda kept: build((*explicit, *kept)), canvases, track=track)
        found, notes = search.kept, (_said(search),)
    made = build((*explicit, *found))
    check_static(made)
    return Converted(made, (*explicit, *found), notes)


def _spread(photos: Sequence[Path], count: int) -> list[Path]:
    """At most so many photos, evenly spread."""
    return [photos[i] for i in np.unique(np.linspace(0, len(photos) - 1, count).astype(int))] if photos else []


def _said(search: Search) -> str:
    """What the search for blocks to keep measured."""
    if not search.kept:
        return f"no block needs to be kept: detections differ by {search.of_all:.3f} from fp32's"
    costs = ", ".join(f"{n} ({search.of_block[n]:.3f} alone)" for n in search.kept)
    return f"kept {costs}: detections differ by {search.difference:.3f} from fp32's, {search.of_all:.3f} without"
