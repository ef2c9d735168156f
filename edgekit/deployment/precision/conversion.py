"""A float32 graph in another precision: the one entry to this package."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgekit.data.images import SAMPLE_PHOTOS, list_images
from edgekit.deployment.edits.graph_search import matching
from edgekit.deployment.edits.static_check import check_static
from edgekit.deployment.precision.calibration import Table, calibrate, canvas, extremes, fits, read_table
from edgekit.deployment.precision.calibration_sets import photos_of, read_set
from edgekit.deployment.precision.half import half_values, oversized, to_fp16, too_large
from edgekit.deployment.precision.keep import Search, find_keep
from edgekit.deployment.precision.quantise import calibrated_values, prepare, quantise
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import sha256
from edgekit.progress import Track, silent

if TYPE_CHECKING:
    import onnx

PRECISIONS = ("fp32", "fp16", "int8")
AUTO = "auto"
SEARCH_PHOTOS = 48  # of the calibration's, to find by what to keep
# To find by what to keep. Drawn scenes hold 3.3 detections each: of those of 16 photos one that is lost is a difference
# of 0.02, more than ``keep.BOUND``, so that noise decides (4 to 8 photos kept 3 to 11 blocks, 53% to 92% in 8 bits).
LEAST_PHOTOS = 24
JUDGED_PHOTOS = 64  # of the calibration's, to compare the result on


@dataclass(frozen=True)
class Converted:
    """A graph in its new precision; ``kept`` are the blocks and layers in float32, ``notes`` what to know of it."""

    model: onnx.ModelProto
    precision: str
    target: str | None  # whose 8-bit recipe; None of fp32 and fp16
    kept: tuple[str, ...]
    table: Path | None  # the calibration table's file, if it has one
    table_sha256: str | None
    notes: tuple[str, ...] = ()


def convert(
    model: onnx.ModelProto,
    precision: str,
    *,
    input_size: tuple[int, int],
    target: str = "tensorrt",
    calibration: Path | None = None,
    keep: Sequence[str] = (),
    table: Path | None = None,
    track: Track = silent,
) -> Converted:
    """Turn a float32 graph to "fp16" or "int8"; "fp32" is the graph itself.

    ``calibration`` is a folder of photos, the description of a calibration set (see calibration/README.md) or a table
    made before; int8 needs it, fp16 looks at the photos that come with edgekit by default. ``table`` is where to keep
    the ranges: they are measured again only for another graph or photos. ``target``: see ``quantise``. ``keep`` names
    blocks or layers that stay float32; "auto" finds by measurement those that cost accuracy.
    """
    if precision not in PRECISIONS:
        raise EdgekitError(f"--precision {precision}: unknown", f"give one of: {', '.join(PRECISIONS)}")
    explicit = tuple(k for k in keep if k != AUTO)
    matching(model.graph, explicit)  # raises for an unknown one before any work
    if precision == "fp32":
        return Converted(model, precision, None, (), None, None)
    check_calibration(calibration, precision, keep)
    with photos_meant(calibration, track) as folder:
        if precision == "fp16":
            return _fp16(model, input_size, folder or SAMPLE_PHOTOS, explicit, AUTO in keep, track)
        assert calibration is not None
        prepared = prepare(model)
        if folder is None:
            ranges, table = read_table(calibration), calibration
            fits(ranges, prepared, calibration)
        else:
            ranges = calibrate(prepared, calibrated_values(prepared), folder, input_size, table=table, track=track)
        return _int8(prepared, ranges, folder, target, explicit, AUTO in keep, table, track)


def check_calibration(calibration: Path | None, precision: str, keep: Sequence[str]) -> None:
    """Raise if ``calibration`` is not what a conversion to "fp16" or "int8" needs (see ``convert``)."""
    if calibration is None:
        if precision == "int8":
            raise EdgekitError("--precision int8: needs photos to calibrate on", "give a folder of some: --calibration")
        return
    if calibration.suffix.lower() != ".json":
        photos = list_images(calibration)  # raises if it is empty or no folder
        if precision == "int8" and AUTO in keep:
            _check_enough(calibration, [sha256(p) for p in photos])
        return
    if (described := read_set(calibration)) is not None:
        if precision == "int8" and AUTO in keep:
            _check_enough(calibration, described.images.values())
        return
    read_table(calibration)
    if precision != "int8":
        raise EdgekitError(f"{calibration}: is a table for int8, {precision} looks at photos", "give a folder of some")
    if AUTO in keep:
        raise EdgekitError(
            "--keep auto: needs photos, not a table alone",
            "give --keep none or the blocks to keep, or --calibration a folder of photos",
        )


def _check_enough(calibration: Path, digests: Iterable[str]) -> None:
    """Raise if there are too few different photos to find by what to keep."""
    given = len(set(digests))
    if given < LEAST_PHOTOS:
        raise EdgekitError(
            f"{calibration}: --keep auto for int8 needs at least {LEAST_PHOTOS} different photos, not {given}",
            "give more, 30 to 100 like those the model will see; or say what stays in float32: --keep none, or blocks",
        )


@contextlib.contextmanager
def photos_meant(calibration: Path | None, track: Track = silent) -> Iterator[Path | None]:
    """The folder of photos that ``calibration`` means, for as long as the block lasts; None for a table."""
    described = read_set(calibration) if calibration is not None and calibration.suffix.lower() == ".json" else None
    if calibration is None or calibration.suffix.lower() != ".json":
        yield calibration
    elif described is None:
        yield None
    else:
        with tempfile.TemporaryDirectory() as drawn:
            yield photos_of(described, calibration, Path(drawn), track)


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
    model: onnx.ModelProto, size: tuple[int, int], folder: Path, explicit: tuple[str, ...], auto: bool, track: Track
) -> Converted:
    """See ``convert``."""
    ranges = extremes(model, half_values(model.graph), folder, size, track)
    large = too_large(model.graph, ranges)

    def build(kept: tuple[str, ...]) -> onnx.ModelProto:
        return to_fp16(model, (*explicit, *kept), large)

    search = _search(model, build, folder, size, track) if auto else None
    found = search.kept if search else ()
    beyond = tuple(sorted({*large, *oversized(model.graph)}))
    notes = [f"values or weights beyond half's range: {', '.join(beyond)} stay float32"] if beyond else []
    kept = (*explicit, *found, *beyond)
    return Converted(_checked(build(found)), "fp16", None, kept, None, None, (*notes, *_notes(search)))


def _int8(
    prepared: onnx.ModelProto,
    ranges: Table,
    folder: Path | None,
    target: str,
    explicit: tuple[str, ...],
    auto: bool,
    table: Path | None,
    track: Track,
) -> Converted:
    """See ``convert``."""

    def build(kept: tuple[str, ...]) -> onnx.ModelProto:
        return quantise(prepared, ranges, target, (*explicit, *kept))

    search = _search(prepared, build, folder, ranges.input_size, track) if auto and folder else None
    found = search.kept if search else ()
    notes = (f"calibrated on {len(ranges.images)} photos", *_notes(search))
    digest = sha256(table) if table is not None else None
    return Converted(_checked(build(found)), "int8", target, (*explicit, *found), table, digest, notes)


def _search(
    model: onnx.ModelProto,
    build: Callable[[tuple[str, ...]], onnx.ModelProto],
    folder: Path,
    size: tuple[int, int],
    track: Track,
) -> Search:
    chosen = searched_photos(list_images(folder))
    return find_keep(model, build, [canvas(p, size) for p in chosen], track=track)


def _spread(photos: Sequence[Path], count: int) -> list[Path]:
    """At most so many photos, evenly spread."""
    return [photos[i] for i in np.unique(np.linspace(0, len(photos) - 1, count).astype(int))] if photos else []


def _notes(search: Search | None) -> tuple[str, ...]:
    """What the search for blocks to keep measured."""
    if search is None:
        return ()
    if not search.kept:
        return (f"no block needs to be kept: detections differ by {search.of_all:.3f} from fp32's",)
    costs = ", ".join(f"{n} ({search.of_block[n]:.3f} alone)" for n in search.kept)
    return (f"kept {costs}: detections differ by {search.difference:.3f} from fp32's, {search.of_all:.3f} without",)


def _checked(model: onnx.ModelProto) -> onnx.ModelProto:
    check_static(model)
    return model
