"""Keys of caches: what an entry is about, the code that makes it, and the versions of the packages it runs on."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import edgekit
from edgekit.files.whole_files import sha256

PACKAGE = Path(edgekit.__file__).parent
# What exports and rewrites graphs, and what decodes photos and masks.
TOOLS = ("torch", "torchvision", "onnx", "onnxscript", "onnx-ir", "numpy", "pillow", "pycocotools")


def entry_key(made_by: Callable[..., Any], about: Sequence[Any]) -> str:
    """The key of a cache's entry, 40 hex digits.

    ``about`` is what the entry depends on, as JSON has it. The key also depends on the function that makes the entry,
    on all code of edgekit, and on the versions of ``TOOLS``.
    """
    maker = f"{made_by.__module__}.{made_by.__qualname__}"
    everything = [list(about), maker, code_sha256(), [installed_version(name) for name in TOOLS]]
    return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()[:40]


@functools.cache
def code_sha256(package: Path = PACKAGE) -> str:
    """A digest of all Python files of a package."""
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        digest.update(f"{file.relative_to(package)} {sha256(file)}\n".encode())
    return digest.hexdigest()


@functools.cache
def installed_version(package: str) -> str | None:
    """The version of a package by its name on the package index; None if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
