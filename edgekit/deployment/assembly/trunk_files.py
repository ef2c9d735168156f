"""The frozen trunk as three ONNX files, to compute features for training in onnxruntime."""

from __future__ import annotations

from pathlib import Path

import onnx
import torch

from edgekit.artifacts.value_names import BOXES, FEATURES, IMAGES, INNER, TABLE
from edgekit.deployment.assembly.tracing import static_onnx
from edgekit.deployment.edits.for_cpu import rewrite_for_cpu
from edgekit.files.whole_files import output_folder
from edgekit.model.generations import GenerationalRCNN
from edgekit.static.norms import folded
from edgekit.static.static_trunk import BoxFeatures, MaskFeatures, StaticTrunk

BODY = INNER[:3]  # what the body gives: the table, the proposals, and which are real


def export_trunk(
    module: GenerationalRCNN,
    size: tuple[int, int],
    folder: Path,
    proposals: int = 256,
    rois: int = 272,
    mask_rois: int = 12,
    for_cpu: bool = False,
) -> None:
    """Write a module's trunk for canvases of ``size`` (H, W) as three static ONNX files into ``folder``.

    - ``body.onnx``: images uint8 [1, H, W, 3] -> ``BODY``: table [cells, C], proposals [P, 4] and proposed [P] (1 where
      real), P at most ``proposals``;
    - ``box_head.onnx``: table, boxes [rois, 4] -> features [rois, F];
    - ``mask_head.onnx``: table, boxes [mask_rois, 4] -> features [mask_rois, C, 14, 14]; absent of a Faster R-CNN.

    ``for_cpu`` rewrites them for onnxruntime's CPU kernels.
    """
    trunk = StaticTrunk(folded(module), size, min(proposals, module.base.rpn.post_nms_top_n()))
    images = torch.zeros(1, *size, 3, dtype=torch.uint8)
    save(static_onnx(trunk, (images,), [IMAGES], BODY), folder / "body.onnx", for_cpu)
    channels = int(module.base.backbone.out_channels)
    save_heads(folder, trunk.box, trunk.mask, channels, rois, mask_rois, for_cpu)


def save_heads(
    folder: Path, box: BoxFeatures, mask: MaskFeatures | None, channels: int, rois: int, mask_rois: int, for_cpu: bool
) -> None:
    """Write ``box_head.onnx`` and, with a mask branch, ``mask_head.onnx``; the table has ``channels`` columns."""
    table = torch.zeros(box.levels.cells, channels)
    parts: list[tuple[str, torch.nn.Module | None, int]] = [("box_head", box, rois), ("mask_head", mask, mask_rois)]
    for name, head, count in parts:
        if head is not None:
            boxes = torch.tensor([0.0, 0.0, 64.0, 64.0]).repeat(count, 1)
            graph = static_onnx(head, (table, boxes), [TABLE, BOXES], [FEATURES])
            save(graph, folder / f"{name}.onnx", for_cpu)


def save(graph: onnx.ModelProto, path: Path, for_cpu: bool) -> None:
    """Write a trunk's ONNX graph."""
    if for_cpu:
        rewrite_for_cpu(graph)
    output_folder(path.parent)
    onnx.save(graph, path)
