"""Checkpoints in PyTorch, eager or compiled."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.pack_files import Pack
from edgekit.errors import EdgekitError
from edgekit.model.checkpoint import load_model
from edgekit.model.generations import GenerationalRCNN
from edgekit.model.hints import CheckpointHints
from edgekit.runtime.session import Outputs, Session


def device_here() -> torch.device:
    """CUDA if there is any, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class TorchSession(Session):
    """A module in eval mode, on CUDA if there is any."""

    def __init__(self, module: GenerationalRCNN, meta: ModelMeta) -> None:
        self.device = device_here()
        # A third less time for an R50-FPN trunk on a CPU than with the default layout (docs/log.md).
        self.module = module.eval().to(self.device).to(memory_format=torch.channels_last)
        self.meta = meta
        self.batch = None
        self.runtime = f"pytorch {self.device.type}"

    @classmethod
    def load(
        cls, model: str | Path, hints: CheckpointHints = CheckpointHints(), packs: Sequence[Pack] = ()
    ) -> TorchSession:
        """Open a checkpoint or a model by its name, with packs."""
        return cls(*load_model(model, hints, packs=packs))

    def infer_batch(self, images: np.ndarray) -> list[Outputs]:
        """Run on any number of canvases: uint8 [N, H, W, 3]."""
        return [outputs(found) for found in self.module(torch.tensor(images, device=self.device))]


def outputs(found: dict[str, torch.Tensor]) -> Outputs:
    """What a module found in one canvas, as arrays."""
    return Outputs(*(found[name].cpu().numpy() for name in Outputs._fields))


def compile_session(session: TorchSession) -> TorchSession:
    """The same model with its parts of static shape compiled (torch.compile): the body with its FPN, the RPN's head."""
    if shutil.which("g++") is None and shutil.which("clang++") is None and session.device.type == "cpu":
        raise EdgekitError("torch.compile needs a C++ compiler, and there is none", "apt-get install g++")
    base = session.module.base
    base.backbone.compile()
    base.rpn.head.compile()
    session.runtime = f"pytorch compiled {session.device.type}"
    return session
