"""Refitting an engine: TensorRT's classes are stood in for at the device's border, the files are real."""

from __future__ import annotations

import enum
import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgekit.artifacts import read_onnx
from edgekit.deployment import export_options
from edgekit.deployment.onnx_export import export
from edgekit.deployment.tensorrt import refit as module
from edgekit.deployment.tensorrt.build import build
from edgekit.deployment.tensorrt.refit import can_refit, refit
from edgekit.deployment.tensorrt.target import Target
from edgekit.errors import EdgekitError
from edgekit.files import sha256
from edgekit.runtime.engine_file import read_engine, sidecar_of
from edgekit.runtime.flavours import Messages
from tests.deployment.tensorrt.versions import ORIN, tensorrt

pytest.importorskip("tensorrt_rtx", reason="needs pip install 'edgekit[rtx]'")


class Device:
    """What TensorRT does with an engine on a device, recorded."""

    def __init__(self, missing: tuple[str, ...] = (), error: str = "") -> None:
        self.missing, self.error = missing, error
        self.refitted: list[bytes] = []
        self.flags = {"EXCLUDE_WEIGHTS"}
        flags = enum.Enum("SerializationFlag", ["EXCLUDE_WEIGHTS", "INCLUDE_REFIT"])
        self.trt = SimpleNamespace(
            Refitter=lambda *_: SimpleNamespace(get_missing_weights=lambda: missing, refit_cuda_engine=lambda: True),
            OnnxParserRefitter=self._parser,
            SerializationFlag=flags,
        )
        config = SimpleNamespace(
            clear_flag=lambda f: self.flags.discard(f.name), set_flag=lambda f: self.flags.add(f.name)
        )
        self.engine = SimpleNamespace(
            create_serialization_config=lambda: config, serialize_with_config=lambda _: b"refitted engine"
        )

    def _parser(self, *_: Any) -> Any:
        def take(model: bytes) -> bool:
            self.refitted.append(model)
            return not self.error

        said = SimpleNamespace(desc=lambda: self.error)
        return SimpleNamespace(refit_from_bytes=take, num_errors=int(bool(self.error)), get_error=lambda _: said)

    def load(self, path: Path) -> Any:
        described, _ = read_engine(path)
        tensorrt = SimpleNamespace(module=self.trt, logger=None, messages=lambda: nullcontext(Messages()))
        return SimpleNamespace(engine=described, tensorrt=tensorrt, deserialised=self.engine)


@pytest.fixture(scope="module")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An engine beside the graph with reserved classes that it was built from, described as refittable: TensorRT
    builds such engines on a device only."""
    folder = tmp_path_factory.mktemp("roomy")
    options: dict[str, Any] = {"reserve_classes": 2, "compute_capability": ("8.6",)}
    export("demo", folder / "roomy.onnx", trt="fp32", no_verify=True, **options)
    engine = folder / "roomy.engine"
    description = json.loads(sidecar_of(engine).read_text())
    description["settings"]["refittable"] = True
    sidecar_of(engine).write_text(json.dumps(description))
    return engine


def test_only_an_engine_of_this_graph_that_takes_weights_is_refitted(roomy: Path, tmp_path: Path) -> None:
    graph = roomy.with_suffix(".onnx")
    assert can_refit(roomy, graph)
    assert not can_refit(tmp_path / "none.engine", graph)
    fixed = build(graph, tmp_path / "fixed.engine", compute_capability=("8.6",))
    assert not can_refit(fixed.path, graph)


def test_into_a_graph_whose_engine_is_there_refits_it(
    roomy: Path, adapted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = Device()
    monkeypatch.setattr(module, "load_engine", device.load)
    monkeypatch.setattr(export_options, "choose_target", lambda _: Target(tensorrt("10.3.0"), ORIN, ("8.7",)))
    before = sha256(roomy)
    graph = roomy.with_suffix(".onnx")
    result = export(adapted, tmp_path / "new.onnx", into=graph, trt="fp32", no_verify=True)
    assert any("was refitted, not rebuilt" in note for note in result.notes)
    assert sha256(roomy) == before
    new = tmp_path / "new.engine"
    described, data = read_engine(new)
    assert data == b"refitted engine"
    assert described.onnx_sha256 == sha256(tmp_path / "new.onnx")
    assert described.meta.new_classes == read_onnx(tmp_path / "new.onnx")[1].new_classes == ("chicken", "frog")
    assert described.settings["refitted_from"] == before
    assert device.flags == {"INCLUDE_REFIT"}  # whole, and to be refitted again
    assert can_refit(new, tmp_path / "new.onnx")
    assert device.refitted == [read_onnx(tmp_path / "new.onnx")[0].SerializeToString()]


@pytest.mark.parametrize(
    ("device", "message"),
    [
        (Device(missing=("cls_score.weight",)), "has no weights for cls_score.weight"),
        (Device(error="shapes differ"), "does not take the weights of .*: shapes differ"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_written(
    roomy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: Device, message: str
) -> None:
    monkeypatch.setattr(module, "load_engine", device.load)
    with pytest.raises(EdgekitError, match=message):
        refit(roomy, roomy.with_suffix(".onnx"), tmp_path / "new.engine")
    assert not list(tmp_path.iterdir())
