"""torchvision's own ONNX export of a model, to time edgekit's graph against."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch

from edgekit.artifacts.metadata import METADATA_KEY, ModelMeta
from edgekit.artifacts.value_names import FOUND, OUTPUTS
from edgekit.files.whole_files import atomic_path
from edgekit.model.architectures import limit, without_weights
from edgekit.model.checkpoint import load_model, merged_state
from edgekit.runtime.onnx_session import open_ort
from edgekit.runtime.session import Outputs, Session


def export_stock(
    checkpoint: Path,
    output: Path,
    size: tuple[int, int] | None = None,
    proposals: int | None = None,
    detections: int | None = None,
) -> None:
    """Export a checkpoint the way torchvision documents: one softmax over all classes, the TorchScript exporter.

    ``proposals`` and ``detections`` replace the model's own numbers.
    """
    module, meta = load_model(checkpoint, size=size)
    state = merged_state(module)
    model = without_weights(meta.settings, len(meta.categories), state)
    model.load_state_dict(state, assign=True)
    model.transform.min_size, model.transform.max_size = (min(meta.input_size),), max(meta.input_size)
    limit(model, proposals, detections)
    image = torch.rand(3, *meta.input_size)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), atomic_path(output) as temporary:
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            ([image],),
            str(temporary),
            input_names=["image"],
            output_names=list(OUTPUTS if module.has_masks else FOUND),
            opset_version=18,
            dynamo=False,
        )
        graph = onnx.load(temporary)
        graph.producer_name = METADATA_KEY  # who called it: the demo may replace the file
        onnx.save(graph, temporary)


class StockSession(Session):
    """torchvision's export in onnxruntime; its masks are pasted inside the graph, so none are returned to paste."""

    def __init__(self, path: Path, meta: ModelMeta) -> None:
        self.session = open_ort(str(path), provider="cpu")
        self.meta, self.runtime = meta, "onnxruntime cpu"

    def infer(self, pixels: np.ndarray) -> Outputs:
        """Run on one canvas: uint8 [H, W, 3]."""
        image = np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32) / 255
        boxes, labels, scores, *_ = self.session.run(None, {"image": image})
        return Outputs(boxes, labels, scores, np.zeros((len(scores), 0, 0), np.float32))
