"""Write what a device without torch needs, out of pyproject.toml: python requirements/write.py [--check].

    pip install -r requirements/device.txt && pip install --no-deps .

installs an edgekit that runs engines and ONNX files. pip cannot leave out a dependency, hence the list of the others.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import tomllib

ROOT = Path(__file__).resolve().parent.parent
NOT_ON_DEVICES = ("torch", "torchvision", "onnxscript")  # training and exporting only
FROM_JETPACK = ("tensorrt",)
EXTRAS = ("jetson", "telemetry", "tensorrt", "video")


def lists() -> dict[str, list[str]]:
    """The requirements by file name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = sorted({r for name in EXTRAS for r in project["optional-dependencies"][name]})
    return {
        "device.txt": [r for r in project["dependencies"] if package(r) not in NOT_ON_DEVICES],
        "jetson.txt": [r for r in extras if package(r) not in FROM_JETPACK],
    }


def package(requirement: str) -> str:
    """``onnx>=1.17; marker`` is onnx."""
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0]


def text(name: str, requirements: list[str]) -> str:
    """A file's whole text."""
    what = {
        "device.txt": f"edgekit's dependencies without {', '.join(NOT_ON_DEVICES)}",
        "jetson.txt": f"its extras {', '.join(EXTRAS)}, without what JetPack brings",
    }[name]
    return "\n".join([f"# {what}. Written by requirements/write.py from pyproject.toml.", *requirements, ""])


def main() -> int:
    """Write the lists; with --check, return 1 if one is stale."""
    stale = []
    for name, requirements in lists().items():
        file = ROOT / "requirements" / name
        if not file.exists() or file.read_text() != text(name, requirements):
            stale.append(name)
            if "--check" not in sys.argv:
                file.write_text(text(name, requirements))
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
