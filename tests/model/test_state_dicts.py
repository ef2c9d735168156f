"""Which tensors of a training script's file are the model's, under which names."""

from __future__ import annotations

import argparse
import pickle
import sys
import types
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from edgekit.artifacts.model_names import KINDS, kind_of
from edgekit.errors import EdgekitError
from edgekit.model.sources import read_weights

MARKER = "roi_heads.box_predictor.cls_score.weight"
STATE = {"backbone.body.conv1.weight": torch.ones(2, 3), MARKER: torch.arange(4.0)}
AVERAGED = {name: tensor + 1 for name, tensor in STATE.items()}
SHARED = Path(__file__).parents[3] / "shared" / "models"


class Detector(torch.nn.Module):
    """A module whose state dict is STATE."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = torch.nn.ModuleDict({"body": torch.nn.ModuleDict({"conv1": torch.nn.Linear(3, 2, bias=False)})})
        predictor = torch.nn.ModuleDict({"cls_score": torch.nn.Linear(4, 1, bias=False)})
        self.roi_heads = torch.nn.ModuleDict({"box_predictor": predictor})


def prefixed(prefix: str, state: dict[str, torch.Tensor] = STATE) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


def lightning() -> dict[str, Any]:
    return {
        "epoch": 3,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": prefixed("model.") | {"criterion.weight": torch.ones(3), "val_map.n": torch.tensor(float("nan"))},
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 4}}}},
        "callbacks": {"ModelCheckpoint": {"dirpath": Path("runs/1"), "best_k_models": {}, "best": torch.tensor(1.0)}},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}],
        "hyper_parameters": {"classes": ["a", "b"], "root": Path("data")},
    }


def reference() -> dict[str, Any]:
    """As torchvision's reference script saves it, with --model-ema as its classification script has it."""
    ema = AveragedModel(Detector(), multi_avg_fn=get_ema_multi_avg_fn(0.9))
    return {
        "model": OrderedDict(STATE),
        "model_ema": ema.state_dict(),
        "optimizer": {"state": {}, "param_groups": []},
        "lr_scheduler": {"milestones": defaultdict(int, {16: 1})},
        "args": argparse.Namespace(lr=0.02, output_dir=Path("out"), device=torch.device("cpu")),
        "epoch": np.int64(25),
        "scaler": {"scale": np.float32(65536)},
    }


READ: dict[str, tuple[Callable[[], Any], str]] = {  # what is saved, and what the notes say
    "plain": (lambda: STATE, ""),
    "Lightning": (lightning, "left out: criterion.weight, val_map.n"),
    "torchvision's reference script": (reference, "the model is model; left out: model_ema.module"),
    "DataParallel": (lambda: prefixed("module."), ""),
    "compiled": (lambda: prefixed("_orig_mod."), ""),
    "compiled twice": (lambda: prefixed("_orig_mod.module._orig_mod."), ""),
    "a compiled part": (lambda: {n.replace("body.", "body._orig_mod."): t for n, t in STATE.items()}, ""),
    "DeepSpeed": (lambda: {"module": prefixed("_forward_module.model."), "ds_version": "0.14"}, ""),
    "FSDP": (lambda: {n.replace("body.", "body._fsdp_wrapped_module."): t for n, t in STATE.items()}, ""),
    "a part of a larger model": (lambda: prefixed("net.detector.") | {"net.head.weight": torch.ones(1)}, "net.head"),
    "a loss's weights in the model": (lambda: STATE | {"criterion.weight": torch.ones(1)}, "left out: criterion"),
    "only an average": (
        lambda: {"ema_state_dict": {"n_averaged": torch.tensor(9), **prefixed("module.")}},
        "n_averaged",
    ),
    "timm's names": (lambda: {"state_dict": STATE, "state_dict_ema": AVERAGED, "arch": "x"}, "state_dict_ema"),
    "an average in the same dictionary": (
        lambda: prefixed("model.") | prefixed("ema_model.module.", AVERAGED),
        "the model is model; left out: ema_model.module",
    ),
    "an average inside the model": (lambda: STATE | prefixed("ema.", AVERAGED), "left out: ema"),
    "the best beside the last": (lambda: {"model": STATE, "best_model": AVERAGED}, "left out: best_model"),
    "the same twice": (lambda: {"model": STATE, "ema": STATE}, ""),
    "deep": (lambda: {"run": {"last": {"state_dict": prefixed("module.")}}}, ""),
    "under a key of its own": (lambda: {"generator": STATE}, ""),
    "a list": (lambda: [STATE, {"state": {}, "param_groups": []}], ""),
    "a tuple of epochs": (lambda: {"epochs": ({"epoch": 1}, {"epoch": 2, "weights": prefixed("module.")})}, ""),
    "a number as key": (lambda: {0: {"net": prefixed("a.b.")}}, ""),
    "an EMA that was compiled": (lambda: {"ema": prefixed("module._orig_mod."), "step": 9}, ""),
    "accelerate's": (lambda: prefixed("model_ema.module._orig_mod."), ""),
    "an old format's key": (lambda: {"net": prefixed("module."), "acc": np.array([1.0, 2.0])}, ""),
}


@pytest.mark.parametrize("kind", READ)
@pytest.mark.parametrize("zipped", [True, False])
def test_finds_the_model(kind: str, zipped: bool, tmp_path: Path) -> None:
    content, note = READ[kind]
    torch.save(content(), tmp_path / "x.ckpt", _use_new_zipfile_serialization=zipped)
    weights = read_weights(tmp_path / "x.ckpt")
    assert weights.tensors.keys() == STATE.keys()
    assert all(torch.equal(weights.tensors[n], t) for n, t in STATE.items())
    assert note in "; ".join(weights.notes)
    assert bool(note) == bool(weights.notes)


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.model.", "a.b._orig_mod."])
def test_safetensors_have_the_same_prefixes(prefix: str, tmp_path: Path) -> None:
    save_file(prefixed(prefix) | {"z": torch.ones(1)} if prefix else STATE, tmp_path / "x.safetensors")
    assert read_weights(tmp_path / "x.safetensors").tensors.keys() == STATE.keys()


SEVERAL: dict[str, Any] = {
    "teacher and student": (prefixed("student.") | prefixed("teacher."), r"2 models: student, teacher"),
    "two keys": ({"model": STATE, "state_dict": AVERAGED}, r"2 models: model, state_dict"),
    "nested": ({"a": {"teacher": STATE}, "b": {"student": AVERAGED}}, r"2 models: a\.teacher, b\.student"),
    "two averages": ({"ema_1": STATE, "ema_2": AVERAGED}, "2 models: ema_1, ema_2"),
    "compiled and not": (STATE | prefixed("_orig_mod."), "one name twice"),
}


@pytest.mark.parametrize("kind", SEVERAL)
def test_says_when_several_models_could_be_meant(kind: str, tmp_path: Path) -> None:
    content, message = SEVERAL[kind]
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(EdgekitError, match=message) as caught:
        read_weights(tmp_path / "x.pth")
    assert str(tmp_path / "x.pth") in caught.value.message


NONE: dict[str, tuple[Callable[[], Any], str]] = {
    "a module": (Detector, "Detector.*whole pickled model"),
    "a module under a key": (lambda: {"net": Detector(), "epoch": 3}, "Detector.*whole pickled model"),
    "a list of tensors": (lambda: list(STATE.values()), "holds a list, not weights by name"),
    "a tensor": (lambda: torch.ones(3), "holds a single tensor"),
    "an optimizer": (lambda: {"state": {}, "param_groups": []}, "an optimizer's state"),
}


@pytest.mark.parametrize("kind", NONE)
def test_says_what_a_file_holds_that_has_no_weights(kind: str, tmp_path: Path) -> None:
    content, message = NONE[kind]
    torch.save(content(), tmp_path / "x.pth")
    with pytest.raises(EdgekitError, match=message) as caught:
        read_weights(tmp_path / "x.pth")
    assert "torch.save(model.state_dict(), 'weights.pth')" in str(caught.value)


def test_keeps_what_lies_beside_the_weights(tmp_path: Path) -> None:
    torch.save(lightning(), tmp_path / "x.ckpt")
    rest = dict(read_weights(tmp_path / "x.ckpt").rest)
    assert rest["hyper_parameters"] == {"classes": ["a", "b"], "root": "data"}
    assert rest["callbacks"] == {"ModelCheckpoint": {"dirpath": "runs/1", "best_k_models": {}}}
    assert rest["optimizer_states"] == [{"state": {0: {}}, "param_groups": [{"lr": 0.1, "params": [0]}]}]
    assert "state_dict" not in rest
    torch.save(reference(), tmp_path / "x.pth")
    rest = dict(read_weights(tmp_path / "x.pth").rest)
    assert rest["args"] == {"lr": 0.02, "output_dir": "out", "device": "<torch.device>"}
    assert (rest["epoch"], rest["scaler"]["scale"]) == (25, 65536.0)
    assert "model_ema" not in rest or not any(rest["model_ema"].values())


@pytest.fixture
def framework() -> Iterator[types.ModuleType]:
    """A package of classes like MMEngine's and omegaconf's."""
    module = types.ModuleType("framework_of_another")

    class ConfigDict(dict[str, Any]):
        def __reduce_ex__(self, _: Any) -> tuple[Any, ...]:
            return ConfigDict, (dict(self),)

    class AttributeDict(dict[str, Any]):
        pass

    class HistoryBuffer:
        def __init__(self) -> None:
            self._log_history = np.ones(4)
            self.methods = {"min": self.smallest}

        def smallest(self) -> float:
            return float(self._log_history.min())

    class Slotted:
        __slots__ = ("content",)

        def __init__(self) -> None:
            self.content = {"lr": 0.5}

    for kind in (ConfigDict, AttributeDict, HistoryBuffer, Slotted):
        kind.__module__, kind.__qualname__ = module.__name__, kind.__name__
        setattr(module, kind.__name__, kind)
    sys.modules[module.__name__] = module
    yield module
    sys.modules.pop(module.__name__, None)


@pytest.mark.parametrize("protocol", range(1, 6))  # torch.save has no 0, and its zip archives no 1
@pytest.mark.parametrize("zipped", [True, False])
def test_looks_into_objects_of_absent_packages(framework: Any, protocol: int, zipped: bool, tmp_path: Path) -> None:
    content = {
        "meta": {"CLASSES": ("a", "b"), "cfg": framework.ConfigDict(model=framework.AttributeDict(depth=50))},
        "message_hub": {"log_scalars": {"loss": framework.HistoryBuffer()}, "other": framework.Slotted()},
        "state_dict": {"module.rpn_head.w": torch.ones(1), "module.roi_head.bbox_head.fc_cls.weight": torch.ones(2)},
    }
    if protocol < 2 and zipped:
        return
    if protocol < 2:
        del content["message_hub"]["other"]  # __slots__ need protocol 2
    torch.save(content, tmp_path / "x.pth", pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    del sys.modules[framework.__name__]
    weights = read_weights(tmp_path / "x.pth")
    assert set(weights.tensors) == {"rpn_head.w", "roi_head.bbox_head.fc_cls.weight"}
    assert weights.rest["meta"] == {"CLASSES": ("a", "b"), "cfg": {"model": {"depth": 50}}}
    hub = weights.rest["message_hub"]
    assert hub["log_scalars"]["loss"] == {"methods": {"min": "<builtins.getattr>"}}
    assert protocol < 2 or hub["other"] == {"content": {"lr": 0.5}}


def test_names_of_other_frameworks_stay(tmp_path: Path) -> None:
    names = ("backbone.bottom_up.stem.conv1.weight", "proposal_generator.rpn_head.conv.weight", MARKER, "pixel_mean")
    arrays = {name: np.ones(2, "f4") for name in names}
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"model": arrays, "matching_heuristics": True}, 2))
    weights = read_weights(tmp_path / "x.pkl")
    assert tuple(weights.tensors) == names
    assert (weights.rest, weights.notes) == ({"matching_heuristics": True}, ())


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".ckpt", ".bin", ".pkl", ".safetensors"])
def test_suffixes_of_checkpoints(suffix: str) -> None:
    assert kind_of(Path(f"x{suffix}")) == KINDS[suffix] == "checkpoint"


FILES = sorted(SHARED.glob("*/*/model*.p*"))


@pytest.mark.skipif(not FILES, reason="shared/models is not here")
@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}-{p.name}")
def test_reads_files_of_detectron2_and_mmdetection(path: Path) -> None:
    weights = read_weights(path)
    assert len(weights.tensors) > 290
    assert weights.notes == ()
    if "detectron2" in str(path):
        assert any(n.startswith("backbone.bottom_up.") for n in weights.tensors)
        assert "detectron2" in weights.rest["__author__"].lower()
    else:
        assert "roi_head.bbox_head.fc_cls.weight" in weights.tensors
        assert weights.rest["meta"]["mmdet_version"] == "3.3.0"
        assert weights.rest["meta"]["dataset_meta"]["classes"][0] == "class0"
