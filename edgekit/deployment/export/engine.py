"""The engine of an export: built beside its graph, and compared where this machine's GPU runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from edgekit.artifacts.metadata import ModelMeta
from edgekit.comparison.comparison_photos import Photos
from edgekit.comparison.verification import Verification, verified
from edgekit.deployment.export.request import Building
from edgekit.deployment.tensorrt.build import build
from edgekit.deployment.tensorrt.target import Target
from edgekit.progress import Track
from edgekit.runtime import engine_session
from edgekit.runtime.engine_file import SUFFIX, Engine
from edgekit.runtime.session import Session


@dataclass(frozen=True)
class Made:
    """An engine, how it compares with what it was made from (None where it was not run), and what to know of it."""

    engine: Engine
    verification: Verification | None
    notes: tuple[str, ...]


def make_engine(
    graph: Path,
    building: Building,
    device: Target,
    reference: Callable[[ModelMeta], Session] | None,
    photos: Photos,
    track: Track,
) -> Made:
    """Write the engine of ``graph`` beside it; raises where it runs here and differs from ``reference``'s session.

    ``photos`` are those to compare on; no ``reference``, no comparison. Its session is opened after the build, which
    needs the memory.
    """
    output = graph.with_suffix(SUFFIX)
    engine = build(graph, output, **asdict(building), track=track)
    if reference is None:
        return Made(engine, None, ())
    if device.gpu is None or device.gpu.compute_capability not in engine.compute_capabilities:
        return Made(engine, None, ("the engine was not run: it is for another GPU than this machine has",))
    with engine_session.EngineSession.open(output) as session:
        seen = verified(output, session, reference(engine.meta), photos, track)
    return Made(engine, seen, ())
