"""Run a command again and again, each time killed just before another of its file operations (see test_kills.py).

Each run is a fork of this process, which has imported all that the command needs and started no thread.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from PIL import Image

import edgekit.files.whole_files
from edgekit.adaptation.adapt import Learning, adapt
from edgekit.artifacts.manifest import LOCK, read_manifest
from edgekit.artifacts.onnx_files import read_onnx, write_onnx
from edgekit.artifacts.safetensors_files import read_safetensors
from edgekit.deployment.export.export import export
from edgekit.deployment.folder.installing import install
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import sha256
from edgekit.inference.predict import predict
from edgekit.report.inspect import Inspection, inspect
from tests.packs import random_pack, write_packs
from tests.tiny_detector import META, write_tiny_detector

EVENTS = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def in_fork(work: Callable[[], None], folder: Path, kill_at: int | None = None) -> tuple[int, int]:
    """Run ``work`` in a fork, killed just before its file operation ``kill_at`` in ``folder``.

    Returns the signal that ended it, or 0, and how many operations there were.
    """
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        count = 0

        def hook(event: str, about: tuple[Any, ...]) -> None:
            nonlocal count
            if not _changes(event, about, folder):
                return
            count += 1
            if count == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

        code = 1
        try:
            edgekit.files.whole_files._remove_leftovers.cache_clear()
            sys.addaudithook(hook)
            work()
            os.write(sender, str(count).encode())
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(sender)
    text = os.read(receiver, 20)
    os.close(receiver)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise AssertionError("the command failed, see above")
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, int(text or 0)


def _changes(event: str, about: tuple[Any, ...], folder: Path) -> bool:
    """Whether an audited event changes something in a folder, or is on its way to (an exchange of names)."""
    if event == "ctypes.dlopen":
        return about[0] is None
    if event == "open":
        return isinstance(about[0], str) and bool(about[2] & WRITES) and about[0].startswith(f"{folder}/")
    if event not in EVENTS:
        return False
    within = any(isinstance(a, (str, Path)) and str(a).startswith(f"{folder}/") for a in about)
    return within or (event in ("os.remove", "os.rmdir") and about[-1] != -1)  # of rmtree, named from its folder


class Adapting:
    """A model and its proof take the place of those that an earlier run wrote."""

    def __init__(self, materials: Path) -> None:
        self.data = materials / "photos" / "annotations.json"

    def run(self, folder: Path, new: bool) -> None:
        classes = ("frog",) if new else ("chicken",)
        adapt(
            "demo", self.data, self.data.parent, folder / "x.safetensors", classes, learning=Learning(epochs=1, views=1)
        )

    def check(self, folder: Path) -> None:
        model, proof = folder / "x.safetensors", folder / "x.retention.json"
        _, meta = read_safetensors(model)
        stated = json.loads(proof.read_text())
        matches = stated["model_sha256"] == sha256(model)
        assert meta.new_classes in (("frog",), ("chicken",))
        assert not matches or tuple(stated["classes"]) == meta.new_classes
        try:
            inspect(model)
            assert matches
        except EdgekitError as error:
            assert not matches and "proves another model" in error.message  # noqa: PT018, PT017


class Exporting:
    """A graph and what Triton serves of it."""

    def __init__(self, materials: Path) -> None:
        self.models = {}
        for new, names in ((False, ("dog",)), (True, ("cat", "bird"))):
            meta = META.__class__(META.architecture, (("__background__", *names), ("frog",)), META.input_size)
            self.models[new] = write_tiny_detector(materials / f"{names[0]}.onnx", meta=meta)

    def run(self, folder: Path, new: bool) -> None:
        export(self.models[new], folder / "x.onnx", triton=folder / "models", verify=False)

    def check(self, folder: Path) -> None:
        read_onnx(folder / "x.onnx")
        served = folder / "models" / "x"
        _, meta = read_onnx(served / "1" / "model.onnx")
        assert tuple((served / "labels.txt").read_text().splitlines()) == meta.categories
        assert (served / "config.pbtxt").read_text().rstrip().endswith("]")
        assert {p.name for p in served.iterdir()} == {"config.pbtxt", "labels.txt", "1"}


class ExportingParts:
    """A model's folder takes the place of another one's."""

    def __init__(self, materials: Path) -> None:
        self.models = {False: materials / "base.onnx", True: materials / "other.onnx"}
        graph, meta = read_onnx(self.models[False])
        for tensor in graph.graph.initializer:  # as of another training
            if "mask" in tensor.name and tensor.data_type == onnx.TensorProto.FLOAT:
                weights = np.float32(1.001) * onnx.numpy_helper.to_array(tensor)
                tensor.CopyFrom(onnx.numpy_helper.from_array(weights, tensor.name))
        write_onnx(self.models[True], graph, meta)

    def run(self, folder: Path, new: bool) -> None:
        export(self.models[new], folder / "model", verify=False)

    def check(self, folder: Path) -> None:
        inspect(folder / "model")  # checks each file's digest

    def check_end(self, folder: Path) -> None:
        assert [p.name for p in folder.iterdir()] == ["model"]


class Installing:
    """A pack is installed into a folder that has one, or its base model alone."""

    def __init__(self, materials: Path) -> None:
        self.base = materials / "model"
        export(materials / "base.onnx", self.base, verify=False)
        self.packs = write_packs(materials, random_pack("first", 1), random_pack("second", 1))

    def run(self, folder: Path, new: bool) -> None:
        if not new:
            shutil.copytree(self.base, folder / "model")
            install(self.packs[0], folder / "model")
        elif "second 0" not in self.installed(folder):  # killed at the very end
            install(self.packs[1], folder / "model")

    def installed(self, folder: Path) -> tuple[str, ...]:
        result = inspect(folder / "model")
        assert isinstance(result, Inspection)
        return result.meta.new_classes

    def check(self, folder: Path) -> None:
        assert self.installed(folder) in (("first 0",), ("first 0", "second 0"))

    def check_end(self, folder: Path) -> None:
        assert self.installed(folder) == ("first 0", "second 0")
        named = {name for pack in read_manifest(folder / "model").packs for name in pack.files}
        assert {f"packs/{p.name}" for p in (folder / "model" / "packs").iterdir()} == named


class Predicting:
    """Pictures and JSON lines."""

    def __init__(self, materials: Path) -> None:
        self.model = write_tiny_detector(materials / "tiny.onnx")
        self.photos = materials / "colours"
        self.photos.mkdir()
        for number in range(3):
            Image.new("RGB", (36, 24), (90, 80 * number, 90)).save(self.photos / f"{number}.png")

    def run(self, folder: Path, new: bool) -> None:
        lines = folder / "x.jsonl"
        predict(self.model, [self.photos], folder / "drawn", min_score=0.0 if new else 0.4, jsonl=lines, force=True)

    def check(self, folder: Path) -> None:
        rows = [json.loads(line) for line in (folder / "x.jsonl").read_text().splitlines()]
        assert len(rows) == 3
        for number in range(3):
            with Image.open(folder / "drawn" / f"{number}.png") as picture:
                picture.load()


SCENARIOS: dict[str, Any] = {
    "adapt": Adapting,
    "export": Exporting,
    "parts": ExportingParts,
    "install": Installing,
    "predict": Predicting,
}


def leftovers(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.name.startswith(".") and p.name != LOCK]


def main(name: str, materials: Path, most: int | None) -> None:
    """Kill a scenario at all places, or at ``most`` of them that are spread over the run, its last ones among them.

    Prints how often it was killed.
    """
    scenario = SCENARIOS[name](materials)
    earlier, folder, first = materials / "earlier", materials / "work", materials / "first"
    in_fork(lambda: scenario.run(earlier, False), earlier)
    shutil.copytree(earlier, first)
    _, count = in_fork(lambda: scenario.run(first, True), first)
    places = range(1, count + 1)
    if most is not None:
        places = sorted({round(1 + i * (count - 1) / max(most - 1, 1)) for i in range(most)})
    for place in places:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(earlier, folder)
        ended, _ = in_fork(lambda: scenario.run(folder, True), folder, place)
        assert ended == signal.SIGKILL, f"{name}, {place} of {count}: was not killed"
        scenario.check(folder)
        in_fork(lambda: scenario.run(folder, True), folder)
        scenario.check(folder)
        assert not leftovers(folder), f"{name}, {place} of {count}: {leftovers(folder)}"
        if hasattr(scenario, "check_end"):
            scenario.check_end(folder)
    print(json.dumps({"kills": len(places), "operations": count}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else None)
