"""The embedded model's float32 graph and a few photos to calibrate on, made once a session."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.onnx_files import read_onnx
from edgekit.data.images import list_images
from edgekit.demo.photo_sets import write_demo_set
from edgekit.deployment.precision.calibration import Table, calibrate, canvas
from edgekit.deployment.precision.quantise import calibrated_values, with_own_biases


@pytest.fixture(scope="session")
def fp32(base_onnx: Path) -> onnx.ModelProto:
    return read_onnx(base_onnx)[0]


@pytest.fixture(scope="session")
def meta(base_onnx: Path) -> ModelMeta:
    return read_onnx(base_onnx)[1]


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calibration")
    write_demo_set("base-train", 6, folder, seed=3)
    return folder


@pytest.fixture(scope="session")
def canvases(photos: Path, meta: ModelMeta) -> list[np.ndarray]:
    return [canvas(p, meta.input_size) for p in list_images(photos)]


@pytest.fixture(scope="session")
def prepared(fp32: onnx.ModelProto) -> onnx.ModelProto:
    return with_own_biases(fp32)


@pytest.fixture(scope="session")
def table(prepared: onnx.ModelProto, photos: Path, meta: ModelMeta) -> Table:
    return calibrate(prepared, calibrated_values(prepared), photos, meta.input_size)
