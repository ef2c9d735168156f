from __future__ import annotations

import onnx
import pytest

from edgekit.deployment.edits.layers import block_of, blocks, feature_nodes, layers, matching
from edgekit.errors import EdgekitError
from edgekit.graphs.editing import graph_of


def test_every_layer_is_in_a_block(fp32: onnx.ModelProto) -> None:
    found = blocks(graph_of(fp32))
    assert found[:2] == ("body.0", "body.1")
    assert set(found[-5:]) == {"fpn", "rpn", "box_head", "predictors", "mask_head"}
    assert "other" not in found


@pytest.mark.parametrize(
    ("weight", "block"),
    [
        ("model.base.backbone.body.layer3.0.conv1.weight", "body.layer3"),
        ("model.base.backbone.body.conv1.weight", "body.conv1"),
        ("model.base.roi_heads.mask_predictor.conv5_mask.weight", "predictors"),
        ("model.predictors.added.0.cls_score.weight", "predictors"),
        ("val_17", "other"),
    ],
)
def test_block_of_a_weight(weight: str, block: str) -> None:
    assert block_of(weight) == block


def test_keep_takes_blocks_their_beginnings_and_nodes(fp32: onnx.ModelProto) -> None:
    known = layers(graph_of(fp32))
    in_body = {x.node for x in known if x.block.startswith("body.")}
    assert matching(graph_of(fp32), ["body"]) == in_body
    assert matching(graph_of(fp32), ["body.1"]) == {x.node for x in known if x.block == "body.1"}  # not body.10
    assert matching(graph_of(fp32), [known[0].node]) == {known[0].node}
    with pytest.raises(EdgekitError, match=r"--keep bodi: no layer of the model .*body\.0.*mask_head"):
        matching(graph_of(fp32), ["bodi"])


def test_geometry_is_no_feature(fp32: onnx.ModelProto) -> None:
    between = feature_nodes(graph_of(fp32))
    kinds = {n.op_type for n in fp32.graph.node if n.name in between}
    assert {"Relu", "Clip", "Add", "Resize", "MaxPool", "Gather", "MatMul"} <= kinds
    assert not kinds & {"Div", "Exp", "TopK", "Softmax", "Sigmoid", "Cast", "Floor", "Greater", "Sub", "Min"}
    products = [n for n in fp32.graph.node if n.op_type == "MatMul" and n.name in between]
    # Of RoI pooling: 64 boxes 16 at a time, 6 masks of four times the bins 4 at a time. NMS's products are none.
    assert len(products) == 4 + 2
