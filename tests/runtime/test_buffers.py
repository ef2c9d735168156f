from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import EdgekitError
from edgekit.runtime.buffers import ALIGNMENT, check_detector, check_same, plan_buffers
from edgekit.runtime.engine_file import Tensor
from tests.runtime.test_engine_file import written
from tests.tiny_detector import META, SIZE, SLOTS

IMAGES = Tensor("images", True, (1, *SIZE, 3), "uint8")
BOXES = Tensor("boxes", False, (1, SLOTS, 4), "float32")
LABELS = Tensor("labels", False, (1, SLOTS), "int64")
SCORES = Tensor("scores", False, (1, SLOTS), "float32")
MASKS = Tensor("masks", False, (1, SLOTS, 28, 28), "float16")
ALL = (IMAGES, BOXES, LABELS, SCORES, MASKS)


def test_inputs_first_each_aligned_and_none_over_another() -> None:
    plan = plan_buffers((MASKS, IMAGES, SCORES, BOXES, LABELS))
    assert plan.slots[0].tensor == IMAGES
    assert plan.input_bytes == plan.slots[1].offset == 512  # 288 bytes of pixels, aligned
    assert all(slot.offset % ALIGNMENT == 0 for slot in plan.slots)
    ends = [slot.offset + slot.tensor.nbytes for slot in plan.slots]
    assert all(end <= after.offset for end, after in zip(ends, plan.slots[1:], strict=False))
    assert ends[-1] <= plan.nbytes


def test_a_view_writes_its_own_tensor_only() -> None:
    plan = plan_buffers(ALL)
    block = np.zeros(plan.nbytes, np.uint8)
    views = {slot.tensor.name: slot.view(block) for slot in plan.slots}
    views["masks"][:] = 1
    assert (views["masks"].dtype, views["masks"].shape) == (np.float16, (1, SLOTS, 28, 28))
    assert np.count_nonzero(block) == SLOTS * 28 * 28  # 1 is 0x3c00 in half
    assert not any(views[name].any() for name in views if name != "masks")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (replace(IMAGES, dtype="int8"), r"images is int8 \[1, 8, 12, 3\], not uint8 \[1, 8, 12, 3\]"),
        (replace(IMAGES, shape=(2, *SIZE, 3)), "images is uint8 .2, 8, 12, 3"),
        (replace(BOXES, shape=(1, SLOTS + 1, 4)), "boxes is .1, 4, 4., not .1, 3, 4"),
        (replace(SCORES, shape=(1, -1)), "scores has the shape .1, -1.: not static"),
        (replace(MASKS, dtype="fp4"), "masks is of the type fp4, which a host cannot hold"),
        (replace(MASKS, shape=(1, SLOTS, 28)), "masks is"),
        (replace(LABELS, is_input=True), "its one input is not called images"),
    ],
)
def test_not_the_tensors_of_a_detector(change: Tensor, words: str) -> None:
    check_detector(Path("x.engine"), META, ALL)
    with pytest.raises(EdgekitError, match=f"x.engine: {words}"):
        check_detector(Path("x.engine"), META, [change if t.name == change.name else t for t in ALL])


def test_what_a_detector_of_float_images_takes() -> None:
    meta = replace(META, input_type="float")
    planes = replace(IMAGES, shape=(1, 3, *SIZE), dtype="float32")
    check_detector(Path("x.engine"), meta, (planes, *ALL[1:]))
    with pytest.raises(EdgekitError, match=r"images is uint8 .*, not float32 \[1, 3, 8, 12\]"):
        check_detector(Path("x.engine"), meta, ALL)


def test_an_engine_that_is_not_as_it_is_described(tmp_path: Path) -> None:
    engine = written(tmp_path / "x.engine")
    check_same(engine, list(engine.tensors)[::-1])
    images, scores = engine.tensors
    for found in ([images], [images, replace(scores, shape=(1, 9))], [images, scores, BOXES]):
        with pytest.raises(EdgekitError, match=r"its description and the engine differ in (scores|boxes) \(build it"):
            check_same(engine, found)
