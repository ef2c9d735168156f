"""New weights for a built engine: a graph that differs in weights only needs no new build."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from pathlib import Path
from typing import Any

from edgekit.artifacts import read_whole_onnx
from edgekit.errors import EdgekitError
from edgekit.files import sha256
from edgekit.runtime.engine_file import Engine, describe_engine, write_engine
from edgekit.runtime.engine_session import load_engine

AGAIN = "build it again: leave --into, or move the old engine away"


def can_refit(engine: Path, graph: Path) -> bool:
    """Whether there is an engine that was built from this very graph and takes new weights."""
    if not engine.is_file():
        return False
    described = describe_engine(engine)
    return bool(described.settings.get("refittable")) and described.onnx_sha256 == sha256(graph)


def refit(old: Path, graph: Path, output: Path) -> Engine:
    """Write the engine ``old`` with the weights of ``graph`` to ``output``; it stays refittable.

    ``graph`` must have the nodes and names of the graph that ``old`` was built from (``export --into`` makes such).
    Runs on the device that runs the engine. ``old`` stays as it is.
    """
    started = time.monotonic()
    model, meta = read_whole_onnx(graph)
    loaded = load_engine(old)
    trt, deserialised = loaded.tensorrt.module, loaded.deserialised
    with loaded.tensorrt.messages() as messages:
        refitter = trt.Refitter(deserialised, loaded.tensorrt.logger)
        parser = trt.OnnxParserRefitter(refitter, loaded.tensorrt.logger)
        taken = parser.refit_from_bytes(model.SerializeToString())
        missing = list(refitter.get_missing_weights())
        done = taken and not missing and refitter.refit_cuda_engine()
    if missing:
        names = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise EdgekitError(f"{old}: {graph} has no weights for {names}", AGAIN)
    if not done:
        errors = [str(parser.get_error(i).desc()) for i in range(parser.num_errors)]
        raise EdgekitError(f"{old}: does not take the weights of {graph}: {(errors or [messages.reason()])[0]}", AGAIN)
    data = memoryview(deserialised.serialize_with_config(_whole(trt, deserialised)))
    engine = dataclasses.replace(
        loaded.engine,
        path=output.absolute(),
        meta=meta,
        sha256=hashlib.sha256(data).hexdigest(),
        onnx_sha256=sha256(graph),
        settings={**loaded.engine.settings, "refitted_from": loaded.engine.sha256},
        seconds=round(time.monotonic() - started, 2),
        megabytes=round(len(data) / 1e6, 3),
    )
    write_engine(engine, data)
    return engine


def _whole(trt: Any, deserialised: Any) -> Any:
    """How to serialise an engine with its weights and so that it can be refitted again."""
    config = deserialised.create_serialization_config()
    config.clear_flag(trt.SerializationFlag.EXCLUDE_WEIGHTS)
    if hasattr(trt.SerializationFlag, "INCLUDE_REFIT"):
        config.set_flag(trt.SerializationFlag.INCLUDE_REFIT)
    return config
