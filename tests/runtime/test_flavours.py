from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from edgekit.errors import EdgekitError
from edgekit.runtime.flavours import Messages, check_version, load


@pytest.mark.parametrize(
    ("flavour", "version", "words"),
    [
        ("tensorrt", "8.6.1", r"TensorRT 8\.6\.1 is too old: edgekit needs 10\.3 or newer \(flash JetPack 6\.1"),
        ("tensorrt", "10.0.1", r"TensorRT 10\.0\.1 is too old"),
        ("rtx", "0.9", r"TensorRT-RTX 0\.9 is too old: edgekit needs 1\.0 or newer \(pip install 'edgekit\[rtx\]'"),
    ],
)
def test_too_old(flavour: str, version: str, words: str) -> None:
    with pytest.raises(EdgekitError, match=words):
        check_version(flavour, version)


@pytest.mark.parametrize(
    ("flavour", "version"), [("tensorrt", "10.3.0"), ("tensorrt", "11.3.0.14"), ("rtx", "1.7.0.5")]
)
def test_new_enough(flavour: str, version: str) -> None:
    check_version(flavour, version)


def test_one_that_is_installed_but_too_old_is_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace(__version__="8.6.1"))
    load.cache_clear()
    try:
        with pytest.raises(EdgekitError, match=r"TensorRT 8\.6\.1 is too old"):
            load("tensorrt")
    finally:
        load.cache_clear()


def test_the_first_error_is_the_reason() -> None:
    said = Messages()
    assert said.reason() == "it gave no reason"
    said.warnings.append("slow\n  kernel")
    assert said.reason() == "slow kernel"
    said.errors.extend(["cause", "consequence"])
    assert said.reason() == "cause"
