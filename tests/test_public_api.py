from __future__ import annotations

import subprocess
import sys

import edgekit


def test_public_names_exist_and_are_documented() -> None:
    for name in edgekit.__all__:
        assert getattr(edgekit, name) is not None
        assert name == "__version__" or getattr(edgekit, name).__doc__


def test_import_is_light() -> None:
    code = "import edgekit, sys; assert not {'torch', 'numpy', 'onnx'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
