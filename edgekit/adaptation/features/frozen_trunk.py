"""The frozen trunk, run in PyTorch or, exported once, in onnxruntime: what it proposes, and the features of RoIs."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgekit.artifacts.value_names import BOXES, IMAGES, PROPOSALS, PROPOSED
from edgekit.data.images import graph_input
from edgekit.model.generations import GenerationalRCNN
from edgekit.runtime.onnx_session import open_ort, ort_version
from edgekit.runtime.torch_session import device_here

MOST_PROPOSALS = 256  # a view's RoIs at most: the RPN's best, the annotated objects among them
MASK_ROIS = 12  # RoIs per view that masks are learned from


class TorchTrunk:
    """The trunk of a module in PyTorch eager, for one canvas at a time.

    ``key`` is what its features depend on: its weights and how it computes, its input size, what runs it.
    """

    def __init__(self, module: GenerationalRCNN, size: tuple[int, int], sha256: str) -> None:
        self.device = device_here()
        # The predictors learn on the CPU, where the features are: only a copy goes elsewhere.
        self.module = module if self.device.type == "cpu" else copy.deepcopy(module).to(self.device)
        self.size = size
        self.runtime = f"pytorch {self.device.type}"
        self.key = f"{sha256} {size} {self.runtime} {torch.__version__} {MOST_PROPOSALS}"

    @torch.inference_mode()
    def look(self, pixels: np.ndarray) -> tuple[Any, np.ndarray]:
        """The FPN's levels, and the RPN's proposals, best first: float32 [P, 4], xyxy pixels of a canvas [H, W, 3]."""
        levels, (proposals,) = self.module.trunk(torch.tensor(pixels, device=self.device)[None])
        return levels, proposals[:MOST_PROPOSALS].cpu().numpy()

    @torch.inference_mode()
    def box_features(self, levels: Any, boxes: np.ndarray) -> np.ndarray:
        """The box head's output, float32 [R, F], for boxes [R, 4]."""
        rois = [torch.tensor(boxes, device=self.device)]
        return self.module.box_features(levels, rois, self.size).cpu().numpy()

    @torch.inference_mode()
    def mask_features(self, levels: Any, boxes: np.ndarray) -> np.ndarray:
        """The mask head's output, float32 [R, C, 14, 14]; [R, 0, 0, 0] for a model without masks."""
        if not self.module.has_masks:
            return np.zeros((len(boxes), 0, 0, 0), np.float32)
        rois = [torch.tensor(boxes, device=self.device)]
        return self.module.mask_features(levels, rois, self.size).cpu().numpy()


@dataclass(frozen=True)
class TrunkFiles:
    """A trunk's graphs, the digest of all that says how they compute, and what the body takes."""

    body: Path  # images -> proposals, proposed and the features that the heads read
    box_head: Path
    mask_head: Path | None
    sha256: str
    size: tuple[int, int]
    input_type: str = "uint8"


class OnnxTrunk:
    """A trunk in onnxruntime. Its methods are those of ``TorchTrunk``."""

    def __init__(self, files: TrunkFiles, provider: str = "") -> None:
        self.files, mask_head = files, files.mask_head
        self.body = open_ort(str(files.body), provider, by_turns=True)
        self.box_head = open_ort(str(files.box_head), provider, by_turns=True)
        self.mask_head = open_ort(str(mask_head), provider, by_turns=True) if mask_head is not None else None
        used = self.body.get_providers()[0].removesuffix("ExecutionProvider").lower()
        self.runtime = f"onnxruntime {used}"
        self.key = f"{files.sha256} {files.size} {self.runtime} {ort_version()} {MOST_PROPOSALS}"

    def look(self, pixels: np.ndarray) -> tuple[Any, np.ndarray]:
        """Run the body; the levels are what the heads read, by name."""
        names = [output.name for output in self.body.get_outputs()]
        images = graph_input(pixels[None], self.files.input_type)
        values = dict(zip(names, self.body.run(names, {IMAGES: images}), strict=True))
        return values, values[PROPOSALS][values[PROPOSED] > 0][:MOST_PROPOSALS]

    def box_features(self, levels: Any, boxes: np.ndarray) -> np.ndarray:
        """Run the box head."""
        return _in_parts(self.box_head, levels, boxes)

    def mask_features(self, levels: Any, boxes: np.ndarray) -> np.ndarray:
        """Run the mask head, if there is one."""
        if self.mask_head is None:
            return np.zeros((len(boxes), 0, 0, 0), np.float32)
        return _in_parts(self.mask_head, levels, boxes)


Trunk = TorchTrunk | OnnxTrunk


def _in_parts(session: Any, levels: dict[str, np.ndarray], boxes: np.ndarray) -> np.ndarray:
    """Run a head of a fixed number of boxes on any number of them, the last part filled up with empty boxes."""
    taken = {value.name: value for value in session.get_inputs()}
    part = taken.pop(BOXES).shape[0]
    read = {name: levels[name] for name in taken}
    outputs = []
    for start in range(0, max(len(boxes), 1), part):
        chosen = boxes[start : start + part]
        filled = np.zeros((part, 4), np.float32)
        filled[: len(chosen)] = chosen
        (features,) = session.run(None, {BOXES: filled, **read})
        outputs.append(features[: len(chosen)].astype(np.float32, copy=False))
    return np.concatenate(outputs)
