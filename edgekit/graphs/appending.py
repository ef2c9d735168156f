"""More generations in an exported graph: their nodes are appended, nothing that is there changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import onnx
import onnx_ir as ir

from edgekit.artifacts.graph_shapes import canvases_of, has_int32_labels
from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.onnx_files import OnnxFile
from edgekit.artifacts.pack_files import Pack, combined, ordered
from edgekit.artifacts.value_names import (
    CANDIDATES,
    CHOSEN,
    CHOSEN_BOXES,
    INNER,
    MASK_FEATURES,
    OUTPUTS,
    of_generation,
)
from edgekit.errors import EdgekitError
from edgekit.graphs.branches import branch, inline
from edgekit.graphs.editing import dims_in, editing, numbers
from edgekit.graphs.pack_graph import PackNodes, Tensors

ADDED = "model.predictors.added."  # how the names of generations' weights begin, before their numbers from 0
JOINT = "join "  # how the names of the nodes begin that put the generations' outputs in a row
ROWS = "rows"  # a generation's logits [P, K], which later ones trained on top of it read
UINT8 = "adapt the checkpoint, or a graph exported without --input and --labels; give these when exporting the result"
AGAIN = "export it again from its checkpoint with this edgekit"


def append(model: onnx.ModelProto, meta: ModelMeta, added: Sequence[Tensors], source: Path) -> None:
    """Append the nodes and weights of the last generations of ``meta``, which describes the result, to a graph.

    ``model`` takes one image per run. ``added`` are these generations' tensors (``model.packs.tensors_of``). The
    graph's own nodes and weights stay as they are, so that in one runtime its detections do too, to the last bit.
    Errors name ``source``.
    """
    if not added:
        return
    first = len(meta.generations) - len(added)
    with editing(model) as graph:
        values = ir.convenience.create_value_mapping(graph)
        if missing := [name for name in (*INNER, *CANDIDATES, *CHOSEN) if name not in values]:
            raise EdgekitError(f"{source}: has no {', '.join(missing)}", AGAIN)
        for number, tensors in enumerate(added, start=first):
            prefix = of_generation(number, "")
            nodes = PackNodes(graph, tensors, prefix, f"{ADDED}{number - 1}.")
            parents = [values[of_generation(parent, ROWS)] for parent in meta.parents_of(number)]
            found = nodes.detect(values, parents, branch(graph, CANDIDATES, CHOSEN))
            found.logits.name = of_generation(number, ROWS)
            values[found.logits.name] = found.logits
            first_label = sum(len(names) for names in meta.generations[:number])
            made = [found.boxes, nodes.labels(found.classes, first_label), found.scores]
            if MASK_FEATURES in values:
                mask = branch(graph, [CHOSEN_BOXES], [MASK_FEATURES])
                (features,) = inline(graph, mask, {**values, CHOSEN_BOXES: found.boxes}, prefix)
                made.append(nodes.masks(features, found.classes))
            _join(graph, made, number)


def with_packs_appended(file: OnnxFile, packs: Sequence[Pack], force: bool = False) -> OnnxFile:
    """An exported graph as it was read, with packs appended to it in memory."""
    if not packs:
        return file
    check_appendable(file)
    grown = combined(file.meta, packs, file.path, force)
    graph = onnx.ModelProto()
    graph.CopyFrom(file.graph)
    append(graph, grown, [pack.tensors for pack in ordered(packs, file.meta.packs)], file.path)
    return replace(file, graph=graph, meta=grown)


def check_appendable(base: OnnxFile) -> None:
    """Raise EdgekitError if no generation can be added to an exported graph."""
    path, meta = base.path, base.meta
    if meta.overlaps == "one":
        raise EdgekitError(
            f"{path}: gives one label per object, so no classes can be added to it", "export it without --overlaps one"
        )
    if meta.precision != "fp32":
        raise EdgekitError(
            f"{path}: is {meta.precision}, and classes are added to a graph in fp32",
            "export the base model to a folder (-o model/), and add the classes to that",
        )
    if meta.input_type != "uint8":  # what the adaptation feeds to a trunk
        raise EdgekitError(f"{path}: takes float32 images, so no classes can be added to it", UINT8)
    if has_int32_labels(base.graph):
        raise EdgekitError(f"{path}: its labels are int32, so no classes can be added to it", UINT8)
    if canvases_of(base.graph) > 1:
        raise EdgekitError(f"{path}: takes {canvases_of(base.graph)} images per run", "give a graph for one image")


def _join(graph: ir.Graph, made: Sequence[ir.Value], number: int) -> None:
    """Have the graph's outputs be those of all generations in a row."""
    for place, own in enumerate(made):
        name, output = OUTPUTS[place], graph.outputs[place]
        joint = output.producer()
        if joint is None or not joint.name.startswith(JOINT):
            output.name, joint = of_generation(0, name), None
        parts = [output] if joint is None else list(joint.inputs)
        row = ir.val(of_generation(number, name), output.dtype, [1, *dims_in(own)])
        graph.append(ir.node("Unsqueeze", [own, numbers(graph, 0)], outputs=[row], name=row.name))
        slots = dims_in(output)[1] + dims_in(own)[0]
        total = ir.val(name, output.dtype, [1, slots, *dims_in(output)[2:]])
        graph.append(ir.node("Concat", [*parts, row], {"axis": 1}, outputs=[total], name=f"{JOINT}{name} {number}"))
        graph.outputs[place] = total
        if joint is not None:
            graph.remove(joint, safe=True)
