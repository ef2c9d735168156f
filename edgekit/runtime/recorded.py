"""An onnxruntime session on CUDA whose run is a CUDA graph: one launch instead of one for each of its kernels."""

from __future__ import annotations

from typing import Any

import numpy as np

TYPES = {  # of a graph's values, as onnxruntime names them
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(uint8)": np.uint8,
}


class Recorded:
    """A session that was opened with ``enable_cuda_graph``: it records its first run and replays it.

    The input and all outputs stay where they are on ``device``. Raises what onnxruntime raises if it cannot record.
    """

    def __init__(self, session: Any, device: str) -> None:
        from onnxruntime import OrtValue

        self.session, self.binding = session, session.io_binding()
        (taken,) = session.get_inputs()
        self.image = OrtValue.ortvalue_from_numpy(np.zeros(taken.shape, TYPES[taken.type]), device, 0)
        self.binding.bind_ortvalue_input(taken.name, self.image)
        self.values = {}
        for given in session.get_outputs():
            value = OrtValue.ortvalue_from_shape_and_type(given.shape, TYPES[given.type], device, 0)
            self.binding.bind_ortvalue_output(given.name, value)
            self.values[given.name] = value
        session.run_with_iobinding(self.binding)

    def run(self, images: np.ndarray) -> dict[str, Any]:
        """Run on canvases; the outputs by name, valid until the next run."""
        self.image.update_inplace(np.ascontiguousarray(images))
        self.session.run_with_iobinding(self.binding)
        return self.values
