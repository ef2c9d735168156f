"""Where an engine's inputs and outputs lie in memory, decided before any device is touched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from edgekit.artifacts.metadata import ModelMeta
from edgekit.errors import EdgekitError
from edgekit.runtime.engine_file import AGAIN, Engine, Tensor

ALIGNMENT = 256  # bytes; what cudaMalloc gives, and what TensorRT asks of every tensor's address
INPUT, FOUND, MASKS = "images", ("boxes", "labels", "scores"), "masks"


@dataclass(frozen=True)
class Slot:
    """A tensor's place: ``offset`` bytes into one block of memory."""

    tensor: Tensor
    offset: int

    def view(self, block: np.ndarray) -> np.ndarray:
        """The tensor in a host block, uint8 [BufferPlan.nbytes]."""
        values = block[self.offset : self.offset + self.tensor.nbytes]
        return values.view(self.tensor.dtype).reshape(self.tensor.shape)


@dataclass(frozen=True)
class BufferPlan:
    """All inputs, then all outputs, in one block, so that one copy brings each side over."""

    slots: tuple[Slot, ...]
    input_bytes: int  # the block's first bytes, aligned
    nbytes: int


def plan_buffers(tensors: Sequence[Tensor]) -> BufferPlan:
    """Lay an engine's tensors out in one block."""
    slots, offset, input_bytes = [], 0, 0
    for tensor in sorted(tensors, key=lambda t: not t.is_input):
        slots.append(Slot(tensor, offset))
        offset += -(-tensor.nbytes // ALIGNMENT) * ALIGNMENT
        input_bytes = offset if tensor.is_input else input_bytes
    return BufferPlan(tuple(slots), input_bytes, offset)


def check_detector(path: Path, meta: ModelMeta, tensors: Sequence[Tensor]) -> None:
    """Raise EdgekitError if tensors are not those of a detector for an input of ``meta``, one image at a time."""
    for tensor in tensors:
        try:
            np.dtype(tensor.dtype)
        except TypeError:
            _refuse(path, f"{tensor.name} is of the type {tensor.dtype}, which a host cannot hold")
        if any(n < 1 for n in tensor.shape):
            _refuse(path, f"{tensor.name} has the shape {list(tensor.shape)}: not static")
    if [t.name for t in tensors if t.is_input] != [INPUT]:
        _refuse(path, f"its one input is not called {INPUT}")
    by_name = {t.name: t for t in tensors}
    for name in FOUND:
        if name not in by_name:
            _refuse(path, f"has no output {name}")
    height, width = meta.input_size
    slots = by_name["scores"].shape[-1]
    wanted = {"boxes": (1, slots, 4), "labels": (1, slots), "scores": (1, slots), MASKS: (1, slots, 28, 28)}
    for name, shape in wanted.items():
        if name in by_name and by_name[name].shape != shape:
            _refuse(path, f"{name} is {list(by_name[name].shape)}, not {list(shape)}")
    takes = Tensor(INPUT, True, (1, height, width, 3), "uint8")
    if meta.input_type == "float":
        takes = Tensor(INPUT, True, (1, 3, height, width), "float32")
    if (given := by_name[INPUT]) != takes:
        _refuse(path, f"{INPUT} is {given.dtype} {list(given.shape)}, not {takes.dtype} {list(takes.shape)}")


def check_pixels(pixels: np.ndarray, size: tuple[int, int], path: Path) -> None:
    """Raise EdgekitError if a canvas is not what an engine takes."""
    if pixels.dtype != np.uint8 or pixels.shape != (*size, 3):
        raise EdgekitError(
            f"{path}: takes uint8 [{size[0]}, {size[1]}, 3], not {pixels.dtype} {list(pixels.shape)}",
            "fit the photo to the model's input size first",
        )


def check_same(engine: Engine, found: Sequence[Tensor]) -> None:
    """Raise EdgekitError if the tensors that a loaded engine has are not those its description says."""
    said, has = set(engine.tensors), set(found)
    if said != has:
        tensor = min(said ^ has, key=lambda t: t.name)
        _refuse(engine.path, f"its description and the engine differ in {tensor.name}")


def _refuse(path: Path, why: str) -> NoReturn:
    raise EdgekitError(f"{path}: {why}", AGAIN)
