"""How far two model files differ, and at which stage the difference begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgekit.artifacts.graph_shapes import limits_of
from edgekit.artifacts.model_names import kind_of, resolve
from edgekit.artifacts.onnx_files import read_onnx
from edgekit.artifacts.pack_files import read_packs
from edgekit.comparison.comparison_photos import comparison_photos
from edgekit.comparison.parity import parity
from edgekit.comparison.stages import Stage, compare_stages, look_inside
from edgekit.comparison.tolerance import TOLERANCES, Tolerance
from edgekit.comparison.verification import Pair, Verification, judge, run_both
from edgekit.data.images import fit
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import sha256
from edgekit.model.hints import CheckpointHints
from edgekit.progress import Track, silent
from edgekit.runtime.engine_file import describe_engine
from edgekit.runtime.opening import TAKE_PACKS, open_session
from edgekit.runtime.selection import Selection, selected
from edgekit.runtime.session import Session

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
    images: str | Path | None = None,
    data: str | Path | None = None,
    min_matched: float | None = None,
    packs: Sequence[str | Path] = (),
    hints: CheckpointHints = CheckpointHints(),
    track: Track = silent,
) -> Comparison:
    """Compare two forms of a model (checkpoint, ONNX, engine) on the photos of a folder, by default edgekit's own.

    ``packs`` are used with checkpoints and whole graphs, ``hints`` with checkpoints that edgekit did not write.
    ``data`` annotates photos of ``images`` and adds both AP. A checkpoint is run at the other file's input size.
    ``passed`` is False if a smaller share of detections than ``min_matched`` matches, or a larger one than the rest is
    extra. Raises EdgekitError where the two cannot be compared: other classes, two graphs of different sizes, a file
    that is not an R-CNN's or not edgekit's.
    """
    if min_matched is not None and not 0 <= min_matched <= 1:
        raise EdgekitError(f"--min-matched {min_matched:g}: not a share", "give 0 to 1, e.g. 0.99")
    photos = comparison_photos(images, data)
    first, second = _open_both(a, b, tuple(packs), hints)
    overlaps = "one" if "one" in (first.meta.overlaps, second.meta.overlaps) else "keep"
    found = run_both(selected(first, overlaps), selected(second, overlaps), photos, track)
    verification = judge(found, photos, first, second)
    rows, missing = [], None
    try:
        looks = look_inside(first, resolve(a)), look_inside(second, resolve(b))
    except EdgekitError as error:
        missing = str(error)
    else:
        chosen = _most_different(found, verification.tolerance)
        canvases = [fit(photos.read(i), first.meta.input_size, first.meta.settings.pad).pixels for i in chosen]
        inner = [(looks[0](canvas), looks[1](canvas)) for canvas in track(canvases, "comparing stages")]
        rows = compare_stages(inner, [found[i] for i in chosen], verification.tolerance)
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


def _open_both(
    a: str | Path, b: str | Path, packs: tuple[str | Path, ...], hints: CheckpointHints
) -> tuple[Session, Session]:
    """Both sessions; a checkpoint's has the other file's input size, proposals and detections."""
    checkpoints = [kind_of(resolve(model)) == "checkpoint" for model in (a, b)]
    if not any(checkpoints):
        hints.refuse(resolve(a))
    if checkpoints == [True, False]:
        other, own = _open_both(b, a, packs, hints)
        return own, other
    first = _open_with(a, packs, hints)
    if not checkpoints[1]:
        return first, _open_with(b, packs, hints)
    return first, _open_like(a, first.meta.input_size, b, packs, hints)


def _open_with(model: str | Path, packs: tuple[str | Path, ...], hints: CheckpointHints) -> Session:
    """A session with what a model of its kind takes of packs and hints."""
    kind = kind_of(resolve(model))
    selection = Selection(packs=packs if kind in TAKE_PACKS else ())
    return open_session(model, selection, hints if kind == "checkpoint" else CheckpointHints())


def _open_like(
    model: str | Path,
    size: tuple[int, int],
    checkpoint: str | Path,
    packs: tuple[str | Path, ...],
    hints: CheckpointHints,
) -> Session:
    """A checkpoint in the shape of another model; of an engine, if the graph it was built from is beside it."""
    from edgekit.model.architectures import limit
    from edgekit.model.checkpoint import load_model
    from edgekit.runtime.torch_session import TorchSession

    module, meta = load_model(checkpoint, hints, size, read_packs(packs))
    graph = path = resolve(model)
    if kind_of(path) == "engine":
        graph = path.with_suffix(".onnx")
        if not graph.is_file() or sha256(graph) != describe_engine(path).onnx_sha256:
            return TorchSession(module, meta)
    if kind_of(graph) == "onnx":
        limit(module.base, *limits_of(*read_onnx(graph)))
    return TorchSession(module, meta)


def _most_different(found: Sequence[Pair], tolerance: Tolerance) -> list[int]:
    """The photos on which the models differ most."""
    strict = replace(TOLERANCES["fp32"], min_iou=tolerance.min_iou)
    seen = [parity([pair], strict) for pair in found]
    return sorted(range(len(found)), key=lambda i: seen[i].matched_share - seen[i].extra_share)[:STAGE_PHOTOS]
