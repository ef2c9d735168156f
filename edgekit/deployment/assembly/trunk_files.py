"""The frozen trunk of an exported graph as three ONNX files, to compute features for training in onnxruntime."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx_ir as ir

from edgekit.artifacts.value_names import BOX_FEATURES, CHOSEN_BOXES, IMAGES, MASK_FEATURES, PROPOSALS, PROPOSED
from edgekit.deployment.edits.for_cpu import rewrite_for_cpu
from edgekit.files.whole_files import output_folder
from edgekit.graphs.branches import as_model
from edgekit.graphs.editing import graph_of
from edgekit.graphs.parts import head

BODY, BOX_HEAD, MASK_HEAD = "body.onnx", "box_head.onnx", "mask_head.onnx"


def write_trunk(graph: onnx.ModelProto, folder: Path, rois: int, mask_rois: int, for_cpu: bool = False) -> None:
    """Write the trunk of an exported graph, of any precision, as static ONNX files into ``folder``.

    - ``body.onnx``: images -> proposals [P, 4], proposed [P] (1 where real), and the features that the heads read;
    - ``box_head.onnx``: boxes [R, 4], R at most ``rois`` -> features [R, F];
    - ``mask_head.onnx``: boxes [M, 4], M at most ``mask_rois`` -> features [M, C, 14, 14]; absent of a Faster R-CNN.

    ``for_cpu`` rewrites them for onnxruntime's CPU kernels.
    """
    whole = graph_of(graph)
    heads = {BOX_HEAD: head(whole, PROPOSALS, BOX_FEATURES, rois)}
    if MASK_FEATURES in ir.convenience.create_value_mapping(whole):
        heads[MASK_HEAD] = head(whole, CHOSEN_BOXES, MASK_FEATURES, mask_rois)
    read = dict.fromkeys(v.name for part in heads.values() for v in part.inputs[1:])
    body = ir.convenience.extract(whole, [IMAGES], [PROPOSALS, PROPOSED, *read])
    output_folder(folder)
    for name, part in {BODY: body, **heads}.items():
        model = as_model(part, graph.ir_version)
        if for_cpu:
            rewrite_for_cpu(model)
        onnx.save(model, folder / name)
