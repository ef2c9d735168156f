"""How far do two model files differ, and at which stage does it begin?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgekit.artifacts.graph_shapes import limits_of
from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.model_names import kind_of, resolve
from edgekit.artifacts.onnx_files import read_onnx
from edgekit.comparison.pairing import parity
from edgekit.comparison.stages import Stage, look_inside, stages
from edgekit.comparison.tolerance import Tolerance
from edgekit.comparison.verification import Photos, Verification, judge, photos_of, run
from edgekit.data.detections import Detections
from edgekit.data.images import fit
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import sha256
from edgekit.progress import Track, silent
from edgekit.runtime.engine_file import describe_engine
from edgekit.runtime.selection import Selected
from edgekit.runtime.session import Session, open_session

STAGE_PHOTOS = 4  # how many photos the stages are compared on: those on which the models differ most


@dataclass(frozen=True)
class Comparison:
    """What ``compare`` found; ``differs_at`` is the first stage beyond tolerance, None if none is or none was seen."""

    a: str
    b: str
    runtimes: tuple[str, str]
    precisions: tuple[str, str]
    input_size: tuple[int, int]
    verification: Verification
    matched_share: float
    stages: tuple[Stage, ...]
    stages_missing: str | None  # why there are no stages
    differs_at: str | None
    min_matched: float | None
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether as many detections match, and as few are extra, as was asked for; True if nothing was."""
        return self.min_matched is None or self.verification.parity.reaches(self.min_matched)


def compare(
    a: str | Path,
    b: str | Path,
    images: Path | None = None,
    data: Path | None = None,
    min_matched: float | None = None,
    track: Track = silent,
) -> Comparison:
    """Compare two forms of a model (checkpoint, ONNX, engine) on the photos of a folder, by default edgekit's own.

    ``data`` annotates photos of ``images`` and adds both AP. A checkpoint is run at the other file's input size.
    ``passed`` is False where a smaller share of detections than ``min_matched`` matches, or a larger one than the rest
    is extra. Raises EdgekitError where the two cannot be compared: other classes, two graphs of different sizes, a file
    that is no R-CNN's or not edgekit's.
    """
    if min_matched is not None and not 0 <= min_matched <= 1:
        raise EdgekitError(f"--min-matched {min_matched:g}: not a share", "give 0 to 1, as 0.99")
    photos = photos_of(images, data)
    first, second = _open(a, b)
    mixed = first.meta.best_only or second.meta.best_only
    pair = [s if s.meta.best_only or not mixed else Selected(s, s.meta, True) for s in (first, second)]
    found = run(pair[0], pair[1], photos, track)
    verification = judge(found, photos, first, second)
    rows, missing = _stages((first, second), (resolve(a), resolve(b)), photos, found, verification.tolerance, track)
    return Comparison(
        a=str(a),
        b=str(b),
        runtimes=(first.runtime, second.runtime),
        precisions=(first.meta.precision, second.meta.precision),
        input_size=first.meta.input_size,
        verification=verification,
        matched_share=verification.parity.matched_share,
        stages=tuple(rows),
        stages_missing=missing,
        differs_at=next((row.stage for row in rows if row.differs), None),
        min_matched=min_matched,
        notes=tuple(f"{doubt}: --images DIR" for doubt in verification.doubts),
    )


def _open(a: str | Path, b: str | Path) -> tuple[Session, Session]:
    """Both sessions, a checkpoint's at the size of the other and with a graph's proposals and detections."""
    is_checkpoint = [kind_of(resolve(m)) == "checkpoint" for m in (a, b)]
    if not is_checkpoint[0]:
        first = open_session(a)
        return first, _open_like(a, first.meta, b) if is_checkpoint[1] else open_session(b)
    if not is_checkpoint[1]:
        second = open_session(b)
        return _open_like(b, second.meta, a), second
    first = open_session(a)
    return first, _open_at(b, first.meta.input_size)


def _open_at(
    checkpoint: str | Path, size: tuple[int, int], proposals: int | None = None, detections: int | None = None
) -> Session:
    """A checkpoint at an input size; its own proposals and detections by default."""
    from edgekit.model.architectures import limit
    from edgekit.model.checkpoint import load_model
    from edgekit.runtime.torch_session import TorchSession

    module, meta = load_model(checkpoint, size=size)
    limit(module.base, proposals, detections)
    return TorchSession(module, meta)


def _open_like(finished: str | Path, meta: ModelMeta, checkpoint: str | Path) -> Session:
    """A checkpoint in the shape of a graph, or of the graph beside an engine that it was built from."""
    graph = path = resolve(finished)
    if kind_of(path) == "engine":
        graph = path.with_suffix(".onnx")
        if not graph.is_file() or sha256(graph) != describe_engine(path).onnx_sha256:
            return _open_at(checkpoint, meta.input_size)
    return _open_at(checkpoint, meta.input_size, *limits_of(*read_onnx(graph)))


def _stages(
    sessions: tuple[Session, Session],
    paths: tuple[Path, Path],
    photos: Photos,
    found: list[tuple[Detections, Detections]],
    tolerance: Tolerance,
    track: Track,
) -> tuple[list[Stage], str | None]:
    """The stages on the photos that differ most, or why they cannot be seen."""
    seen = [parity([pair], min_iou=tolerance.min_iou) for pair in found]
    chosen = sorted(range(len(found)), key=lambda i: seen[i].matched_share - seen[i].extra_share)[:STAGE_PHOTOS]
    try:
        looks = [look_inside(session, path) for session, path in zip(sessions, paths, strict=True)]
    except EdgekitError as error:
        return [], str(error)
    size = sessions[0].meta.input_size
    inner = []
    for index in track(chosen, "comparing stages"):
        pixels = fit(photos.read(index), size).pixels
        inner.append((looks[0](pixels), looks[1](pixels)))
    return stages(inner, [found[i] for i in chosen], tolerance), None
