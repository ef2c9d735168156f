"""torchvision's own ONNX export of a model, to time edgekit's graph against."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import torch

from edgekit.artifacts import ModelMeta, atomic_path, read_checkpoint
from edgekit.model.architectures import ARCHITECTURES
from edgekit.runtime.session import Outputs


def export_stock(checkpoint: Path, output: Path) -> None:
    """Export a checkpoint the way torchvision documents: one softmax over all classes, the TorchScript exporter."""
    arrays, meta = read_checkpoint(checkpoint)
    model = ARCHITECTURES[meta.architecture](len(meta.categories))
    model.load_state_dict({k: torch.from_numpy(v).float() for k, v in arrays.items()})
    image = torch.rand(3, *meta.input_size)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), atomic_path(output) as temporary:
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.eval(),
            ([image],),
            str(temporary),
            input_names=["image"],
            output_names=["boxes", "labels", "scores", "masks"],
            opset_version=18,
            dynamo=False,
        )


class StockSession:
    """torchvision's export in onnxruntime; its masks are pasted inside the graph, so none are returned to paste."""

    def __init__(self, path: Path, meta: ModelMeta) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.log_severity_level = 3
        self.session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.meta, self.runtime = meta, "onnxruntime cpu"

    def infer(self, pixels: np.ndarray) -> Outputs:
        """Run on one canvas: uint8 [H, W, 3]."""
        image = np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32) / 255
        boxes, labels, scores, _ = self.session.run(None, {"image": image})
        return Outputs(boxes, labels, scores, np.zeros((len(scores), 0, 0), np.float32))
