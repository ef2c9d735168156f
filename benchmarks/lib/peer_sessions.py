"""Other ways to run the same detector, as sessions to time: torchvision's module, and OpenVINO."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.onnx_files import read_onnx
from edgekit.artifacts.value_names import OUTPUTS
from edgekit.runtime.session import Outputs, Session
from edgekit.runtime.torch_session import device_here


class Torchvision(Session):
    """torchvision's own module in PyTorch, on CUDA if there is any; its masks are pasted inside it."""

    def __init__(self, module: nn.Module, meta: ModelMeta, runtime: str) -> None:
        self.device = device_here()
        self.module, self.meta, self.runtime = module.to(self.device), meta, runtime

    @torch.inference_mode()
    def infer(self, pixels: np.ndarray) -> Outputs:
        """Run on one canvas: uint8 [H, W, 3]."""
        image = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32) / 255).to(self.device)
        found = {k: v.cpu().numpy() for k, v in self.module([image])[0].items()}
        return Outputs(found["boxes"], found["labels"], found["scores"], np.zeros((len(found["scores"]), 0, 0)))


class OpenVino(Session):
    """An ONNX graph of edgekit's in OpenVINO on the CPU, in float32."""

    def __init__(self, path: Path) -> None:
        import openvino

        self.meta = read_onnx(path)[1]
        core = openvino.Core()
        # Its own choice is bfloat16 where the processor has it; the other rows compute in float32.
        settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        self.request = core.compile_model(core.read_model(path), "CPU", settings).create_infer_request()
        self.runtime = f"OpenVINO {openvino.__version__.split('-')[0]} cpu"

    def infer(self, pixels: np.ndarray) -> Outputs:
        """Run on one canvas: uint8 [H, W, 3]."""
        found: Any = self.request.infer({"images": pixels[None]})
        return Outputs(*(found[name][0].copy() for name in OUTPUTS))


def channels_last(module: nn.Module) -> nn.Module:
    """The layout that PyTorch's CPU convolutions are fastest in."""
    return module.to(memory_format=torch.channels_last)


def compiled(module: Any) -> nn.Module:
    """torch.compile of all parts with static shapes; the rest has data-dependent ones."""
    module.backbone, module.rpn.head = torch.compile(module.backbone), torch.compile(module.rpn.head)
    return module


PEERS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "torchvision, eager": lambda module: module,
    "torchvision, eager, channels last": channels_last,
    "torchvision, torch.compile": compiled,
}
