"""The frozen trunk, run in PyTorch or, exported once, in onnxruntime: what it proposes, and the features of RoIs."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from edgekit.artifacts.value_names import BOXES, IMAGES, INNER, TABLE
from edgekit.model.generations import GenerationalRCNN
from edgekit.runtime.onnx_session import open_ort, ort_version
from edgekit.runtime.torch_session import device_here

PROPOSALS = 256  # a view's RoIs at most: the RPN's best, the annotated objects among them
MASK_ROIS = 12  # RoIs per view that masks are learned from


class Trunk(Protocol):
    """Everything of a model that stays frozen, ready to run on one canvas at a time."""

    key: str  # what its features depend on: its weights and how it computes, its input size, what runs it
    runtime: str

    def look(self, pixels: np.ndarray) -> tuple[Any, np.ndarray]:
        """The FPN's levels in the trunk's own form, and the RPN's proposals, best first: float32 [P, 4], xyxy pixels of
        a canvas uint8 [H, W, 3]."""

    def box_features(self, levels: Any, boxes: np.ndarray) -> np.ndarray:
        """The box head's output, float32 [R, F], for boxes [R, 4]."""

    def mask_features(self, levels: Any, boxes: np.ndarray) -> np.ndarray:
        """The mask head's output, float32 [R, C, 14, 14]; [R, 0, 0, 0] for a model without masks."""


class TorchTrunk:
    """The trunk of a module in PyTorch eager."""

    def __init__(self, module: GenerationalRCNN, size: tuple[int, int], sha256: str) -> None:
        self.device = device_here()
        # The predictors learn on the CPU, where the features are: only a copy goes elsewhere.
        self.module = module if self.device.type == "cpu" else copy.deepcopy(module).to(self.device)
        self.size = size
        self.runtime = f"pytorch {self.device.type}"
        self.key = f"{sha256} {size} {self.runtime} {torch.__version__} {PROPOSALS}"

    @torch.inference_mode()
    def look(self, pixels: np.ndarray) -> tuple[Any, np.ndarray]:
        """Run the backbone, the FPN and the RPN; the levels are PyTorch's."""
        levels, (proposals,) = self.module.trunk(torch.tensor(pixels, device=self.device)[None])
        return levels, proposals[:PROPOSALS].cpu().numpy()

    @torch.inference_mode()
    def box_features(self, levels: Any, boxes: np.ndarray) -> np.ndarray:
        """Run RoI pooling and the box head."""
        rois = [torch.tensor(boxes, device=self.device)]
        return self.module.box_features(levels, rois, self.size).cpu().numpy()

    @torch.inference_mode()
    def mask_features(self, levels: Any, boxes: np.ndarray) -> np.ndarray:
        """Run RoI pooling and the mask head."""
        if not self.module.has_masks:
            return np.zeros((len(boxes), 0, 0, 0), np.float32)
        rois = [torch.tensor(boxes, device=self.device)]
        return self.module.mask_features(levels, rois, self.size).cpu().numpy()


class OnnxTrunk:
    """A trunk exported as ``body.onnx``, ``box_head.onnx`` and, with masks, ``mask_head.onnx``, in onnxruntime.

    ``sha256`` is the digest of these files, which say how the trunk computes.
    """

    def __init__(self, folder: Path, size: tuple[int, int], sha256: str, provider: str = "") -> None:
        self.body = open_ort(str(folder / "body.onnx"), provider, by_turns=True)
        self.box_head = open_ort(str(folder / "box_head.onnx"), provider, by_turns=True)
        mask_head = folder / "mask_head.onnx"
        self.mask_head = open_ort(str(mask_head), provider, by_turns=True) if mask_head.exists() else None
        used = self.body.get_providers()[0].removesuffix("ExecutionProvider").lower()
        self.runtime = f"onnxruntime {used}"
        self.key = f"{sha256} {size} {self.runtime} {ort_version()} {PROPOSALS}"

    def look(self, pixels: np.ndarray) -> tuple[Any, np.ndarray]:
        """Run ``body.onnx``; the levels are one table of their cells."""
        table, proposals, proposed = self.body.run(list(INNER[:3]), {IMAGES: pixels[None]})
        return table, proposals[proposed > 0][:PROPOSALS]

    def box_features(self, levels: Any, boxes: np.ndarray) -> np.ndarray:
        """Run ``box_head.onnx``."""
        return _in_parts(self.box_head, levels, boxes)

    def mask_features(self, levels: Any, boxes: np.ndarray) -> np.ndarray:
        """Run ``mask_head.onnx``, if there is one."""
        if self.mask_head is None:
            return np.zeros((len(boxes), 0, 0, 0), np.float32)
        return _in_parts(self.mask_head, levels, boxes)


def _in_parts(session: Any, table: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Run a head of a fixed number of boxes on any number of them, the last part filled up with empty boxes."""
    part = session.get_inputs()[1].shape[0]
    outputs = []
    for start in range(0, max(len(boxes), 1), part):
        chosen = boxes[start : start + part]
        filled = np.zeros((part, 4), np.float32)
        filled[: len(chosen)] = chosen
        (features,) = session.run(None, {TABLE: table, BOXES: filled})
        outputs.append(features[: len(chosen)])
    return np.concatenate(outputs)
