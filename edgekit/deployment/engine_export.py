"""The engine of an export: built or refitted beside its graph, and compared where this machine's GPU runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from edgekit.artifacts import ModelMeta
from edgekit.deployment.export_options import Building
from edgekit.deployment.tensorrt.build import build
from edgekit.deployment.tensorrt.refit import can_refit, refit
from edgekit.deployment.tensorrt.target import Target
from edgekit.deployment.verify import Photos, Verification, verified
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
    into: Path | None,
    building: Building,
    device: Target,
    reference: Callable[[ModelMeta], Session] | None,
    photos: Photos,
    track: Track,
) -> Made:
    """Write the engine of ``graph`` beside it; raises where it runs here and differs from ``reference``'s session.

    Where ``graph`` is ``into`` with other weights and the engine beside
    ``into`` takes these, that is refitted. ``photos`` are those to compare on; no ``reference``, no
    comparison. Its session is opened after the build, which needs the memory.
    """
    output, notes = graph.with_suffix(SUFFIX), tuple[str, ...]()
    built = into.with_suffix(SUFFIX) if into is not None and not building.compute_capability else None
    if built is not None and into is not None and can_refit(built, into):
        engine, notes = refit(built, graph, output), (f"{built} was refitted, not rebuilt",)
    else:
        engine = build(graph, output, **asdict(building), track=track)
    if reference is None:
        return Made(engine, None, notes)
    if device.gpu is None or device.gpu.compute_capability not in engine.compute_capabilities:
        return Made(engine, None, (*notes, "the engine was not run: it is for another GPU than this machine has"))
    with engine_session.EngineSession.open(output) as session:
        seen = verified(output, session, reference(engine.meta), photos, track)
    return Made(engine, seen, notes)
