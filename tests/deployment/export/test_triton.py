from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from types import ModuleType

import onnxruntime as ort
import pytest
from google.protobuf import text_format

from edgekit.artifacts.onnx_files import read_onnx
from edgekit.deployment.export.triton import write_repository
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import sha256
from edgekit.runtime.engine_file import Engine, Tensor, write_engine


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


def test_onnx_repository(adapted_onnx: Path, model_config: ModuleType, tmp_path: Path) -> None:
    written = write_repository(adapted_onnx, tmp_path, "birds")
    assert written == tmp_path / "birds"
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


def engine_of(graph: Path, path: Path, flavour: str) -> Path:
    """An engine that says it was built from a graph by a flavour of TensorRT."""
    data = b"an engine's bytes"
    tensors = (Tensor("images", True, (1, 320, 320, 3), "uint8"),)
    about = (read_onnx(graph)[1], flavour, "10.3.0", ("8.7",), "Orin", hashlib.sha256(data).hexdigest(), sha256(graph))
    write_engine(Engine(path, *about, tensors, {}, 1.0, 0.1), data)
    return path


def test_engine_repository(adapted_onnx: Path, model_config: ModuleType, tmp_path: Path) -> None:
    engine = engine_of(adapted_onnx, tmp_path / "model.engine", "tensorrt")
    with pytest.raises(EdgekitError, match=r"model.onnx is missing.*keep the ONNX file"):
        write_repository(engine, tmp_path / "repository")
    assert not (tmp_path / "repository").exists()
    written = write_repository(engine, tmp_path / "repository", graph=adapted_onnx)
    config = text_format.Parse((written / "config.pbtxt").read_text(), model_config.ModelConfig())
    assert config.platform == "tensorrt_plan"
    assert (written / "1" / "model.plan").read_bytes() == b"an engine's bytes"


def test_engines_that_triton_cannot_load(adapted_onnx: Path, tmp_path: Path) -> None:
    engine = engine_of(adapted_onnx, tmp_path / "model.engine", "rtx")
    with pytest.raises(EdgekitError, match="Triton's TensorRT backend cannot load"):
        write_repository(engine, tmp_path / "repository", graph=adapted_onnx)
    assert not (tmp_path / "repository").exists()


def test_what_is_there_is_replaced_only_if_written_here(adapted_onnx: Path, tmp_path: Path) -> None:
    written = write_repository(adapted_onnx, tmp_path, "birds")
    (written / "1" / "model.onnx").write_bytes(b"older")
    write_repository(adapted_onnx, tmp_path, "birds")
    assert (written / "1" / "model.onnx").read_bytes() == adapted_onnx.read_bytes()
    (written / "2").mkdir()
    with pytest.raises(EdgekitError, match="holds something else"):
        write_repository(adapted_onnx, tmp_path, "birds")
    assert (written / "2").is_dir()


def test_what_triton_cannot_serve_is_named(adapted: Path, adapted_onnx: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match="none of this kind"):
        write_repository(adapted, tmp_path)
    with pytest.raises(EdgekitError, match="no such file"):
        write_repository(tmp_path / "gone.onnx", tmp_path)
    with pytest.raises(EdgekitError, match="no name for a model"):
        write_repository(adapted_onnx, tmp_path, "a/b")
    assert list(tmp_path.iterdir()) == []
