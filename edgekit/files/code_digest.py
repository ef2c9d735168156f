"""Keys of caches: what an entry is about, the code that makes it, and the versions of the packages it runs on."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import edgekit

PACKAGE = Path(edgekit.__file__).parent
# What exports and rewrites graphs, and what decodes photos and masks.
TOOLS = ("torch", "torchvision", "onnx", "onnxscript", "onnx-ir", "numpy", "pillow", "pycocotools")


def entry_key(made_by: Callable[..., Any], about: Sequence[Any]) -> str:
    """The key of a cache's entry, 40 hex digits.

    ``about`` is what the entry depends on, as JSON has it. What makes it is found from the function ``made_by``: the
    code of its module and of all that this imports of edgekit, and the versions of ``TOOLS``.
    """
    everything = [list(about), code_sha256(made_by.__module__), [installed_version(name) for name in TOOLS]]
    return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()[:40]


@functools.cache
def code_sha256(module: str, package: Path = PACKAGE) -> str:
    """A digest of a module's code and of all that it imports of edgekit, directly or not.

    Comments, docstrings and layout do not count. ``package`` is edgekit's folder.
    """
    if _file_of(module, package) is None:
        raise ValueError(f"{module} is not a module of {package}")
    trees: dict[str, ast.Module] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        file = _file_of(name, package)
        if file is not None and name not in trees:
            trees[name] = ast.parse(file.read_bytes())
            waiting.extend(_imported(trees[name], package))
    digest = hashlib.sha256()
    for name, tree in sorted(trees.items()):
        digest.update(f"{name} {ast.dump(_without_docstrings(tree))}\n".encode())
    return digest.hexdigest()


def _imported(tree: ast.Module, package: Path) -> Iterator[str]:
    """The names of the modules that a module imports, inside its functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inside = f"{node.module}.{alias.name}"  # a module of a package, or a value of a module
                yield inside if _file_of(inside, package) else node.module


def _file_of(module: str, package: Path) -> Path | None:
    """The file of a module of the package; None for any other's, and for what is not a module."""
    root, *parts = module.split(".")
    if root != package.name:
        return None
    place = package.joinpath(*parts)
    return next((f for f in (place.with_name(f"{place.name}.py"), place / "__init__.py") if f.is_file()), None)


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [s for s in node.body if not _is_text(s)]
    return tree


def _is_text(statement: ast.stmt) -> bool:
    constant = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(constant, ast.Constant) and isinstance(constant.value, str)


@functools.cache
def installed_version(package: str) -> str | None:
    """The version of a package by its name on the package index; None if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
