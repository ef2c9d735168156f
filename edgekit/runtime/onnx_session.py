"""ONNX files in onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgekit.artifacts import ModelMeta, read_onnx
from edgekit.errors import EdgekitError
from edgekit.runtime.session import Outputs


class OnnxSession:
    """An onnxruntime session, on CUDA where onnxruntime can use it, on the CPU elsewhere."""

    def __init__(self, path: Path) -> None:
        import onnxruntime as ort

        _, meta = read_onnx(path)
        wanted = [p for p in ("CUDAExecutionProvider", "CPUExecutionProvider") if p in _providers()]
        options = ort.SessionOptions()
        options.log_severity_level = 3
        try:
            self.session = ort.InferenceSession(str(path), options, providers=wanted)
        except Exception as error:  # onnxruntime's own exceptions share no public base class
            raise EdgekitError(f"{path}: onnxruntime cannot load it: {error}", "export it again") from None
        self.meta: ModelMeta = meta
        given = {o.name for o in self.session.get_outputs()}
        self.outputs = [n for n in ("boxes", "labels", "scores", "masks") if n in given]  # no masks: a Faster R-CNN
        self.batch = int(self.session.get_inputs()[0].shape[0])  # canvases a run: all but the first are left empty
        provider = self.session.get_providers()[0].removesuffix("ExecutionProvider").lower()
        self.runtime = f"onnxruntime {provider}"

    def infer(self, pixels: np.ndarray) -> Outputs:
        """Run on one canvas: uint8 [H, W, 3]."""
        images = pixels[None]
        if self.batch > 1:
            images = np.concatenate([images, np.zeros((self.batch - 1, *pixels.shape), np.uint8)])
        boxes, labels, scores, *masks = (o[0] for o in self.session.run(self.outputs, {"images": images}))
        return Outputs(boxes, labels, scores, masks[0] if masks else np.zeros((len(scores), 0, 0), np.float32))


def _providers() -> list[str]:
    """The providers worth asking for: CUDA only where there is a driver, since onnxruntime logs an error otherwise."""
    import onnxruntime as ort

    available: list[str] = ort.get_available_providers()
    has_gpu = Path("/dev/nvidia0").exists() or Path("/dev/nvhost-gpu").exists() or Path("/dev/nvgpu").exists()
    return [p for p in available if has_gpu or p != "CUDAExecutionProvider"]
