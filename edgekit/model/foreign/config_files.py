"""Config files of Detectron2 and MMDetection as plain data: nothing in them is run."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import yaml

from edgekit.errors import EdgekitError
from edgekit.files.reading import read_text
from edgekit.model.foreign.config_values import INERT, Inert, parse_literal

LARGEST_CONFIG = 1_000_000  # characters; a full config has some 20,000
DUMPED_YAML = "give the full config.yaml that training writes into its output folder (cfg.dump())"
DUMPED_PYTHON = "give the full config that training writes into its work_dir (or tools/misc/print_config.py)"


class _PlainLoader(yaml.SafeLoader):
    """YAML's plain values; tuples are lists, and other objects of Python stand for nothing."""


def _list_of(loader: yaml.SafeLoader, node: yaml.Node) -> list[Any] | Inert:
    return loader.construct_sequence(node, deep=True) if isinstance(node, yaml.SequenceNode) else INERT


_PlainLoader.add_constructor("tag:yaml.org,2002:python/tuple", _list_of)
_PlainLoader.add_multi_constructor("", lambda _loader, _tag, _node: INERT)


def is_detectron2_config(values: dict[str, Any]) -> bool:
    """Whether a file's values are a config of Detectron2, not single settings."""
    return "MODEL" in values or "_BASE_" in values


def read_yaml_config(file: Path) -> dict[str, Any]:
    """Detectron2's full config as training writes it; raises EdgekitError."""
    return parse_yaml_config(read_config_text(file), str(file))


def read_python_config(file: Path) -> dict[str, Any]:
    """The names that MMDetection's full config assigns plain values to; raises EdgekitError."""
    return parse_python_config(read_config_text(file), str(file))


def read_config_text(file: Path) -> str:
    """The text of a config file; raises EdgekitError."""
    try:
        return read_text(file)
    except OSError as error:
        raise EdgekitError(f"{file}: cannot be read: {error.strerror or error}", "give a config file") from None


def parse_yaml_config(text: str, file: str) -> dict[str, Any]:
    """Detectron2's config from its text; raises EdgekitError, which names ``file``."""
    _check_length(text, file, DUMPED_YAML)
    try:
        values = yaml.load(text, _PlainLoader)  # a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise EdgekitError(f"{file}: is not YAML: {_line(error)}", DUMPED_YAML) from None
    if not isinstance(values, dict):
        raise EdgekitError(f"{file}: holds no config", DUMPED_YAML)
    if "_BASE_" in values:
        raise EdgekitError(f"{file}: _BASE_: the values of another file are not in it", DUMPED_YAML)
    if not isinstance(values.get("MODEL"), dict):
        raise EdgekitError(f"{file}: MODEL: is not there, so this is no config of Detectron2", DUMPED_YAML)
    return values


def parse_python_config(text: str, file: str) -> dict[str, Any]:
    """MMDetection's config from its text; raises EdgekitError, which names ``file``.

    Values are read where they are literals, ``dict(...)`` or names assigned before; all else is INERT. Statements that
    change values are refused.
    """
    _check_length(text, file, DUMPED_PYTHON)
    values: dict[str, Any] = {}
    try:
        for statement in ast.parse(text).body:
            _assign(statement, values)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise EdgekitError(f"{file}: is not a config of plain values: {_line(error)}", DUMPED_PYTHON) from None
    if "_base_" in values:
        raise EdgekitError(f"{file}: _base_: the values of other files are not in it", DUMPED_PYTHON)
    if not isinstance(values.get("model"), dict):
        raise EdgekitError(f"{file}: model: is not there, so this is no config of MMDetection", DUMPED_PYTHON)
    return values


def _assign(statement: ast.stmt, values: dict[str, Any]) -> None:
    """Add what a statement assigns; raises ValueError for one that may change a value in another way."""
    if isinstance(statement, ast.Assign) and all(isinstance(target, ast.Name) for target in statement.targets):
        value = parse_literal(statement.value, values)
        values.update({target.id: value for target in statement.targets if isinstance(target, ast.Name)})
        return
    constant = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    if not constant and not isinstance(statement, ast.Import | ast.ImportFrom):
        raise ValueError(f"line {statement.lineno} is a statement that edgekit would have to run")


def _check_length(text: str, file: str, remedy: str) -> None:
    if len(text) > LARGEST_CONFIG:
        raise EdgekitError(f"{file}: a config of {len(text):,} characters is too long", remedy)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
