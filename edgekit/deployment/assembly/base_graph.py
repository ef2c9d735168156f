"""The static graph of a module, in which the values that packs and parts read have names."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
import torch

from edgekit.artifacts.graph_shapes import GraphShape
from edgekit.artifacts.value_names import CANDIDATES, CHOSEN, FOUND, IMAGES, INNER, MASKED, OUTPUTS, PROPOSALS
from edgekit.deployment.assembly.tracing import static_onnx
from edgekit.errors import EdgekitError
from edgekit.model.generations import GenerationalRCNN
from edgekit.static.detector import MOST_CANDIDATES, StaticRCNN
from edgekit.static.norms import folded


def to_onnx(module: GenerationalRCNN, shape: GraphShape, class_labels: Sequence[int] = ()) -> onnx.ModelProto:
    """The static graph of a module; raises if it holds what TensorRT cannot run, or fewer slots than were asked for.

    In a graph for several images per run only the first one's proposals have a name, which say how many there are.
    ``class_labels`` are those of the model's metadata, where classes were refined.
    """
    static = StaticRCNN(folded(module), shape, class_labels)
    classes = module.predictors.box_predictor.cls_score.out_features - 1
    most = min(MOST_CANDIDATES, min(2, classes) * static.trunk.proposal_count)
    if shape.detections is not None and shape.detections > most:
        raise EdgekitError(
            f"--detections {shape.detections}: more than {static.trunk.proposal_count} proposals of {classes} classes "
            f"can fill",
            f"give at most {most}, or more --proposals",
        )
    if shape.sampling_cells is not None and not static.trunk.samples_adaptively:
        raise EdgekitError(
            f"--sampling-cells {shape.sampling_cells}: the model's RoIAlign takes a fixed number of samples", "omit it"
        )
    images = torch.zeros(shape.batch, *shape.input_size, 3, dtype=torch.uint8)
    outputs, masked = (OUTPUTS, MASKED) if module.has_masks else (FOUND, ())
    inner = [*CANDIDATES, *CHOSEN, *masked, *INNER] if shape.batch == 1 else [PROPOSALS]
    return static_onnx(static, (images,), [IMAGES], outputs, inner)
