"""What a pack adds to a detector, as ONNX nodes: its own rows, around copies of the base model's own selection.

The arithmetic is that of ``model.predictors``. Nothing here needs PyTorch: an installation on a device builds it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from edgekit.artifacts.value_names import BOX_FEATURES, CANDIDATES, LOGITS, PROPOSALS, PROPOSED
from edgekit.graphs.branches import inline
from edgekit.graphs.editing import constant, dims_in, numbers

Tensors = Mapping[str, np.ndarray]  # a pack's, as ``model.predictors.Generation`` names them
READ = (BOX_FEATURES, LOGITS, PROPOSALS, PROPOSED)  # of the base model
EPSILON = 1e-6  # of the root mean square


class Detected(NamedTuple):
    """Values of a pack's detections: boxes [D, 4], classes [D] from 0, scores [D]; and its logits [P, K]."""

    boxes: ir.Value
    classes: ir.Value
    scores: ir.Value
    logits: ir.Value


class PackNodes:
    """Appends a pack's nodes to a graph; their names and those of its weights begin with ``prefix`` and ``weights``."""

    def __init__(self, graph: ir.Graph, tensors: Tensors, prefix: str, weights: str) -> None:
        self.graph, self.tensors, self.prefix, self.weights = graph, tensors, prefix, weights
        self.count = 0

    def detect(self, read: Mapping[str, ir.Value], parents: Sequence[ir.Value], choose: ir.Graph) -> Detected:
        """Detections, of what the base model gives under the names ``READ`` and of its parents' logits [P, K].

        ``choose`` is the base model's own choice among candidates, which is used up.
        """
        box_features, logits, proposals, proposed = (read[name] for name in READ)
        rows, deltas = self._rows(box_features)
        proposed_count, classes = dims_in(proposals)[0], len(self.tensors["bbox_pred.bias"]) // 4
        earlier = self._op("Concat", logits, *parents, axis=1) if parents else logits
        others = self._op("ReduceLogSumExp", earlier, self._numbers(1), keepdims=1)
        scored = self._op("Softmax", self._op("Concat", others, rows, axis=1), axis=1)
        own = self._op("Slice", scored, self._numbers(1), self._numbers(1 + classes), self._numbers(1))
        pairs = proposed_count * classes
        flat = self._reshape(self._op("Mul", own, self._reshape(proposed, proposed_count, 1)), pairs)
        deltas = self._reshape(deltas, pairs, 4)
        candidates = self._candidates(flat, pairs, classes, deltas, proposals, dims_in(choose.inputs[0])[0])
        boxes, kinds, scores = inline(self.graph, choose, dict(zip(CANDIDATES, candidates, strict=True)), self.prefix)
        return Detected(boxes, kinds, scores, rows)

    def masks(self, features: ir.Value, channels: ir.Value) -> ir.Value:
        """Each detection's mask [D, 28, 28] of its own class, of the mask head's output [D, C, 14, 14]."""
        count, _, height, width = dims_in(features)
        if features.dtype == ir.DataType.FLOAT16:
            features = self._op("Cast", features, to=ir.DataType.FLOAT)
        larger = self._op("ConvTranspose", features, *self._layer("adapter.mask.conv5_mask"), strides=[2, 2])
        logits = self._op("Conv", self._op("Relu", larger), *self._layer("adapter.mask.mask_fcn_logits"))
        own = self._reshape(channels, count, 1, 1, 1)
        own = self._op("Expand", own, self._numbers(count, 1, 2 * height, 2 * width))
        probability = self._op("Sigmoid", self._op("GatherElements", logits, own, axis=1))
        made = self._reshape(probability, count, 2 * height, 2 * width)
        made.dtype, made.shape = ir.DataType.FLOAT, ir.Shape([count, 2 * height, 2 * width])
        return made

    def labels(self, classes: ir.Value, first: int) -> ir.Value:
        """Labels [D] of classes that are counted from 0; ``first`` is the label of class 0."""
        labels = self._op("Add", classes, self._numbers(first))
        labels.dtype, labels.shape = classes.dtype, classes.shape
        return labels

    def _rows(self, box_features: ir.Value) -> tuple[ir.Value, ir.Value]:
        """Logits [P, K] and deltas [P, 4 K], as ``Generation.forward``."""
        deltas = self._gemm(box_features, "bbox_pred")
        if "adapter.cls_score.weight" not in self.tensors:
            return self._gemm(box_features, "cls_score"), deltas
        mean = self._op("ReduceMean", self._op("Mul", box_features, box_features), self._numbers(1), keepdims=1)
        epsilon = constant(self.graph, "pack.epsilon", np.array(EPSILON, np.float32))
        root = self._op("Sqrt", self._op("Add", mean, epsilon))
        normal = self._op("Mul", box_features, self._op("Reciprocal", root))
        scores = self._op("Add", self._gemm(normal, "adapter.cls_score"), self._gemm(box_features, "adapter.raw"))
        hidden = self._op("Relu", self._gemm(normal, "adapter.hidden"))
        return scores, self._op("Add", deltas, self._gemm(hidden, "adapter.bbox_pred"))

    def _candidates(
        self, flat: ir.Value, pairs: int, classes: int, deltas: ir.Value, proposals: ir.Value, count: int
    ) -> tuple[ir.Value, ...]:
        """The best ``count`` pairs of a proposal and a class, as ``value_names.CANDIDATES``, of their scores [pairs]
        and deltas [pairs, 4].

        Where there are fewer, they are filled up with the last one at a score of 0.
        """
        if pairs < count:
            flat = self._op("Pad", flat, self._numbers(0, count - pairs))
        best, index = self._best(flat, count)
        if pairs < count:
            index = self._op("Min", index, self._numbers(pairs - 1))
        rows = self._op("Div", index, self._numbers(classes))
        kinds = self._op("Sub", index, self._op("Mul", rows, self._numbers(classes)))
        own = self._op("Gather", deltas, index, axis=0)
        return best, kinds, own, self._op("Gather", proposals, rows, axis=0)

    def _best(self, flat: ir.Value, count: int) -> tuple[ir.Value, ir.Value]:
        name = self._name("TopK")
        outputs = [ir.val(f"{name}.values"), ir.val(f"{name}.index")]
        inputs = [flat, self._numbers(count)]
        self.graph.append(ir.node("TopK", inputs, {"axis": 0, "largest": 1, "sorted": 1}, outputs=outputs, name=name))
        return outputs[0], outputs[1]

    def _gemm(self, rows: ir.Value, layer: str) -> ir.Value:
        return self._op("Gemm", rows, *self._layer(layer), transB=1)

    def _layer(self, name: str) -> list[ir.Value]:
        """A layer's weight and bias, as constants of the graph."""
        names = (f"{name}.weight", f"{name}.bias")
        return [constant(self.graph, f"{self.weights}{n}", self.tensors[n]) for n in names]

    def _reshape(self, value: ir.Value, *shape: int) -> ir.Value:
        return self._op("Reshape", value, self._numbers(*shape))

    def _numbers(self, *values: int) -> ir.Value:
        return numbers(self.graph, *values)

    def _op(self, kind: str, *inputs: ir.Value, **attributes: object) -> ir.Value:
        name = self._name(kind)
        node = ir.node(kind, inputs, attributes, outputs=[ir.val(name)], name=f"{name} {kind}")
        self.graph.append(node)
        return node.outputs[0]

    def _name(self, kind: str) -> str:
        self.count += 1
        return f"{self.prefix}{kind.lower()}{self.count}"
