"""Adapts, exports and benchmarks Mask R-CNN for edge devices."""

from __future__ import annotations

import importlib
import os
from typing import Any

__version__ = "0.1.0"

# onnxruntime would write an id of this device into the user's cache folder, and reads this when it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# The public functions with their option records, and where they live; imported on first use, so that `import edgekit`
# stays fast.
_PUBLIC = {
    "BenchOptions": "edgekit.measurement.bench.plan:BenchOptions",
    "CheckpointHints": "edgekit.model.hints:CheckpointHints",
    "Conversion": "edgekit.deployment.precision.conversion:Conversion",
    "EdgekitError": "edgekit.errors:EdgekitError",
    "EngineOptions": "edgekit.deployment.tensorrt.build_options:EngineOptions",
    "ExtraData": "edgekit.adaptation.inputs:ExtraData",
    "FeatureStore": "edgekit.adaptation.features.feature_cache:FeatureStore",
    "GraphShape": "edgekit.artifacts.graph_shapes:GraphShape",
    "Learning": "edgekit.adaptation.learning.learning_options:Learning",
    "ReadingOptions": "edgekit.data.annotations.faults:ReadingOptions",
    "Selection": "edgekit.runtime.selection:Selection",
    "adapt": "edgekit.adaptation.adapt:adapt",
    "bench": "edgekit.report.bench:bench",
    "check": "edgekit.checking.check:check",
    "compare": "edgekit.comparison.compare:compare",
    "doctor": "edgekit.report.doctor:doctor",
    "evaluate": "edgekit.measurement.evaluate:evaluate",
    "export": "edgekit.deployment.export.export:export",
    "inspect": "edgekit.report.inspect:inspect",
    "install": "edgekit.deployment.folder.installing:install",
    "load": "edgekit.runtime.opening:open_session",
    "predict": "edgekit.inference.predict:predict",
    "remove": "edgekit.deployment.folder.installing:remove",
    "save": "edgekit.model.modules:save",
    "run_demo": "edgekit.demo.run_demo:run_demo",
}
__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'edgekit' has no attribute {name!r}")
    module, attribute = _PUBLIC[name].split(":")
    return getattr(importlib.import_module(module), attribute)
