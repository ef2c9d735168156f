from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import onnxruntime as ort
import pytest
from google.protobuf import text_format

from edgekit.artifacts.onnx_files import read_onnx
from edgekit.deployment.export.export import export
from edgekit.deployment.export.triton import fill_repository
from edgekit.errors import EdgekitError


@pytest.fixture(scope="session")
def model_config() -> ModuleType:
    """Triton's own protobuf classes; loaded by path, since their package also wants gRPC."""
    found = importlib.util.find_spec("tritonclient")
    if found is None or not found.submodule_search_locations:
        pytest.skip("tritonclient is not installed: pip install -e '.[dev]'")
    path = Path(found.submodule_search_locations[0]) / "grpc" / "model_config_pb2.py"
    spec = importlib.util.spec_from_file_location("model_config_pb2", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def served(model: Path, folder: Path, name: str = "birds") -> Path:
    """The model's folder in a repository."""
    written = export(model, folder / f"{name}.onnx", triton=folder / "models", verify=False).triton
    assert written is not None
    return written


def test_onnx_repository(adapted_onnx: Path, model_config: ModuleType, tmp_path: Path) -> None:
    written = served(adapted_onnx, tmp_path)
    assert written == tmp_path / "models" / "birds"
    assert {str(p.relative_to(written)) for p in written.rglob("*")} == {
        "config.pbtxt",
        "labels.txt",
        "1",
        "1/model.onnx",
    }
    config = text_format.Parse((written / "config.pbtxt").read_text(), model_config.ModelConfig())
    assert (config.name, config.platform, config.max_batch_size) == ("birds", "onnxruntime_onnx", 0)
    session = ort.InferenceSession(str(written / "1" / "model.onnx"), providers=["CPUExecutionProvider"])
    kinds = {"tensor(uint8)": "TYPE_UINT8", "tensor(float)": "TYPE_FP32", "tensor(int64)": "TYPE_INT64"}
    for declared, real in ((config.input, session.get_inputs()), (config.output, session.get_outputs())):
        assert [(t.name, list(t.dims)) for t in declared] == [(v.name, v.shape) for v in real]
        assert [model_config.DataType.Name(t.data_type) for t in declared] == [kinds[v.type] for v in real]
    assert {o.name: o.label_filename for o in config.output if o.label_filename} == {"labels": "labels.txt"}
    _, meta = read_onnx(adapted_onnx)
    assert tuple((written / "labels.txt").read_text().splitlines()) == meta.categories


def test_engine_repository(adapted_onnx: Path, model_config: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "model.engine").write_bytes(b"an engine's bytes")
    (tmp_path / "birds").mkdir()
    fill_repository(tmp_path / "birds", tmp_path / "model.engine", adapted_onnx)
    config = text_format.Parse((tmp_path / "birds" / "config.pbtxt").read_text(), model_config.ModelConfig())
    assert (config.name, config.platform) == ("birds", "tensorrt_plan")
    assert (tmp_path / "birds" / "1" / "model.plan").read_bytes() == b"an engine's bytes"


def test_what_is_there_is_replaced_only_if_written_here(adapted_onnx: Path, tmp_path: Path) -> None:
    written = served(adapted_onnx, tmp_path)
    (written / "1" / "model.onnx").write_bytes(b"older")
    served(adapted_onnx, tmp_path)
    assert (written / "1" / "model.onnx").read_bytes() == (tmp_path / "birds.onnx").read_bytes()
    (written / "2").mkdir()
    with pytest.raises(EdgekitError, match="holds something else"):
        served(adapted_onnx, tmp_path)
    assert (written / "2").is_dir()


def test_a_name_that_triton_does_not_take(adapted_onnx: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match="'my birds': not a name for a model"):
        served(adapted_onnx, tmp_path, "my birds")
    assert list(tmp_path.iterdir()) == []
