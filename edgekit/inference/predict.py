"""Runs a model on photos, a video or a camera; draws what it found or writes it down, if asked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from edgekit.artifacts.outputs import MARK, check_outputs
from edgekit.data.images import list_images, read_image
from edgekit.data.video import check_output, is_video, open_camera, open_video
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import place, staging, write_text, writing
from edgekit.inference.drawing import draw
from edgekit.inference.live import Stream, watch
from edgekit.model.hints import CheckpointHints
from edgekit.progress import Track, silent
from edgekit.runtime.opening import open_session
from edgekit.runtime.selection import Selection
from edgekit.runtime.session import Session, detect


@dataclass(frozen=True)
class Prediction:
    """What was found in one photo, and the picture of it if one was written; ``skipped`` says why it was not read."""

    image: Path
    detections: tuple[dict[str, Any], ...]  # category, category_id, score, bbox [x, y, w, h], segmentation (COCO RLE)
    picture: Path | None = None
    skipped: str | None = None


def predict(
    model: str | Path,
    images: str | Path | Sequence[str | Path] = (),
    output: str | Path | None = None,
    min_score: float = 0.5,
    selection: Selection = Selection(),
    hints: CheckpointHints = CheckpointHints(),
    skip_bad_images: bool = False,
    camera: str | None = None,
    jsonl: str | Path | None = None,
    frames: int | None = None,
    force: bool = False,
    track: Track = silent,
) -> list[Prediction] | Stream:
    """Find objects in image files, in the images of folders, in one video file, or in what a ``camera`` sees.

    ``output`` is the folder to write annotated PNGs to or, of a video or camera, the annotated video. ``jsonl`` gets
    one line of JSON per image or frame. ``frames`` ends a video or camera after that many. A camera is "0",
    "/dev/video0", "csi:0" (a Jetson's) or the address of a stream. ``selection`` (by
    default of one label per object) and ``hints`` are those of ``open_session``. No output may be one of the images;
    ``force`` replaces other files that edgekit did not make, among which JSON lines and videos always count, as they
    cannot say who made them.
    """
    paths = [Path(images)] if isinstance(images, (str, Path)) else [Path(path) for path in images]
    folder = Path(output) if output is not None else None
    lines = Path(jsonl) if jsonl is not None else None
    video = _video(paths, camera)
    _check(video or camera, folder, frames)
    files = list(_files(paths, folder)) if video is None and camera is None else []
    check_outputs([folder, lines, *(picture for _, picture in files)], [model, *paths, *hints.files], force)
    session = open_session(model, replace(selection, overlaps=selection.overlaps or "one"), hints)
    if camera is not None:
        return watch(session, open_camera(camera), folder, lines, min_score, frames, track)
    if video is not None:
        return watch(session, open_video(video), folder, lines, min_score, frames, track)
    predictions = _photos(session, files, folder, min_score, skip_bad_images, track)
    if lines is not None:
        rows = [{"image": str(p.image), "detections": p.detections} for p in predictions if not p.skipped]
        write_text(lines, "".join(json.dumps(row) + "\n" for row in rows))
    return predictions


def _video(images: Sequence[Path], camera: str | None) -> Path | None:
    """The one video among the files, if there is one; raises EdgekitError where it is not clear what the input is."""
    videos = [path for path in images if is_video(path) and not path.is_dir()]
    if camera is not None and images:
        raise EdgekitError(f"{images[0]} and --camera {camera}: both are inputs", "give one of them")
    if camera is None and not images:
        raise EdgekitError("no input", "give photos, folders, a video, or --camera 0")
    if len(videos) > 1:
        raise EdgekitError(f"{videos[0]} and {videos[1]}: several videos", "give one at a time")
    if videos and len(images) > 1:
        other = next(path for path in images if path not in videos)
        raise EdgekitError(f"{videos[0]} and {other}: a video and photos", "give them one after the other")
    return videos[0] if videos else None


def _check(stream: Path | str | None, output: Path | None, frames: int | None) -> None:
    """Raise EdgekitError, before any work, for options that do not go with the input."""
    if frames is not None and frames < 1:
        raise EdgekitError(f"--frames {frames}: not a number of frames", "give 1 or more")
    if stream is not None and output is not None:
        check_output(output)
    if stream is None and frames is not None:
        raise EdgekitError("--frames: photos are not frames", "omit it, or give a video or --camera")
    if stream is None and output is not None and is_video(output) and not output.is_dir():
        raise EdgekitError(f"{output}: is a video's name, and photos are drawn into a folder", "give a folder")


def _files(images: Sequence[Path], output: Path | None) -> Iterator[tuple[Path, Path | None]]:
    """The photos in the order given, each with the picture to write of it: two of one name get a number."""
    taken: set[Path] = set()
    for file in (f for path in images for f in (list_images(path) if path.is_dir() else [path])):
        if output is None:
            yield file, None
            continue
        picture, number = output / f"{file.stem}.png", 2
        while picture in taken:
            picture, number = output / f"{file.stem}-{number}.png", number + 1
        taken.add(picture)
        yield file, picture


def _photos(
    session: Session,
    files: Sequence[tuple[Path, Path | None]],
    output: Path | None,
    min_score: float,
    skip_bad_images: bool,
    track: Track,
) -> list[Prediction]:
    predictions: list[Prediction] = []
    with ExitStack() as stack:
        folder = stack.enter_context(staging(output)) if output is not None else None
        for file, picture in track(files, "predicting"):
            try:
                photo = read_image(file)
            except EdgekitError as error:
                if skip_bad_images:
                    predictions.append(Prediction(file, (), skipped=error.message))
                    continue
                raise EdgekitError(error.message, f"{error.hint}, or give --skip-bad-images") from None
            found = detect(session, photo)
            found = found.select(found.scores >= min_score)
            if folder is not None and picture is not None:
                _save(draw(photo, found, session.meta.categories), folder / picture.name, picture)
            predictions.append(Prediction(file, tuple(found.to_coco(session.meta.categories)), picture))
    return predictions


def _save(drawn: Image.Image, temporary: Path, picture: Path) -> None:
    """Write a picture, whole or not at all, that says who made it."""
    made_by = PngInfo()
    made_by.add_text("Software", MARK)
    with writing(picture):
        drawn.save(temporary, pnginfo=made_by)
        place(temporary, picture)
