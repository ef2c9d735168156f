"""What an export has written."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgekit.comparison.verification import Verification
from edgekit.runtime.engine_file import Engine


@dataclass(frozen=True)
class Export:
    """What was written; all from ``nodes`` to ``engine`` is of an ONNX graph and empty for other formats."""

    output: Path
    format: str
    input_size: tuple[int, int]
    precision: str
    input_type: str = "uint8"
    batch: int = 1  # images per run
    nodes: int = 0
    node_kinds: dict[str, int] = field(default_factory=dict)
    kept: tuple[str, ...] = ()  # blocks and layers left in float32
    eight_bit_share: float | None = None  # of the multiply-adds, 0..1; None for a graph that is not int8
    assumed: tuple[str, ...] = ()  # settings that the weights do not say
    packs: tuple[str, ...] = ()  # in the graph, or installed in the folder of a model in parts
    verification: Verification | None = None  # against what it was made from, PyTorch mostly
    engine: Engine | None = None
    engine_verification: Verification | None = None  # the same, where this machine's GPU runs the engine
    triton: Path | None = None
    graph_seconds: float = 0.0  # until the float32 graph stood
    seconds: float = 0.0
    megabytes: float = 0.0
    notes: tuple[str, ...] = ()  # what to know to use the file
