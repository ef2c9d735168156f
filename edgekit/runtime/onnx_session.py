"""ONNX files in onnxruntime."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.artifacts import ModelMeta, read_onnx
from edgekit.errors import EdgekitError
from edgekit.runtime.gpu import DEVICE_FILES
from edgekit.runtime.graph_names import OUTPUTS
from edgekit.runtime.mask_graphs import MaskGraphs
from edgekit.runtime.session import Outputs


class OnnxSession:
    """An onnxruntime session, on CUDA where onnxruntime can use it, on the CPU elsewhere."""

    def __init__(self, path: Path) -> None:
        _, meta = read_onnx(path)
        try:
            self.session = open_ort(str(path), by_turns=bool(meta.mask_files))
        except Exception as error:  # onnxruntime's own exceptions share no public base class
            raise EdgekitError(f"{path}: onnxruntime cannot load it: {error}", "export it again") from None
        self.meta: ModelMeta = meta
        given = {o.name for o in self.session.get_outputs()}
        self.outputs = [n for n in OUTPUTS if n in given]
        self.features = sorted(given - set(OUTPUTS)) if meta.mask_files else []  # what the mask graphs read
        self.masks = MaskGraphs(path, meta, partial(open_ort, by_turns=True)) if meta.mask_files else None
        self.batch = int(self.session.get_inputs()[0].shape[0])  # canvases a run: all but the first are left empty
        provider = self.session.get_providers()[0].removesuffix("ExecutionProvider").lower()
        self.runtime = f"onnxruntime {provider}"

    def infer(self, pixels: np.ndarray) -> Outputs:
        """Run on one canvas: uint8 [H, W, 3]."""
        images = pixels[None]
        if self.batch > 1:
            images = np.concatenate([images, np.zeros((self.batch - 1, *pixels.shape), np.uint8)])
        if self.masks is not None:
            return self._infer_found(images, self.masks)
        boxes, labels, scores, *masks = (o[0] for o in self.session.run(self.outputs, {"images": images}))
        return Outputs(boxes, labels, scores, masks[0] if masks else np.zeros((len(scores), 0, 0), np.float32))

    def _infer_found(self, images: np.ndarray, masks: MaskGraphs) -> Outputs:
        """Run the detector, then the mask graphs; the features between them stay where the detector left them."""
        binding = self.session.io_binding()
        binding.bind_cpu_input("images", images)
        for name in self.outputs:
            binding.bind_output(name)
        for name in self.features:
            binding.bind_output(name, "cuda" if self.runtime.endswith("cuda") else "cpu")
        self.session.run_with_iobinding(binding)
        values = dict(zip([*self.outputs, *self.features], binding.get_outputs(), strict=True))
        boxes, labels, scores = (values[name].numpy()[0] for name in self.outputs)
        features = {name: values[name] for name in self.features}
        return Outputs(boxes, labels, scores, masks.of(features, boxes, labels, scores))


def open_ort(model: str | bytes, on_cpu: bool = False, optimised: bool = True, by_turns: bool = False) -> Any:
    """An onnxruntime session of a file's path or a serialised model, on CUDA where onnxruntime can use it.

    ``on_cpu`` leaves CUDA out, ``optimised`` False all but the basic changes to the graph. ``by_turns`` is for sessions
    that run one after another: their threads rest at once after a run, where they would go on spinning.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    if by_turns:
        options.add_session_config_entry("session.force_spinning_stop", "1")
    if not optimised:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    # CUDA only where there is a driver, since onnxruntime logs an error otherwise.
    cuda = not on_cpu and any(Path(file).exists() for file in DEVICE_FILES)
    wanted = ["CUDAExecutionProvider"] * cuda + ["CPUExecutionProvider"]
    return ort.InferenceSession(model, options, providers=[p for p in wanted if p in ort.get_available_providers()])
