"""Configs as plain data: nothing in them runs, and what edgekit cannot read is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.errors import EdgekitError
from edgekit.model.foreign.config_files import parse_python_config, parse_yaml_config, read_python_config
from edgekit.model.foreign.config_values import INERT, ConfigFields


def test_yaml_has_tuples_as_lists_and_no_objects() -> None:
    text = "MODEL:\n  A: !!python/tuple [1, 2]\n  B: !!python/object/apply:os.system ['exit 3']\n  C: !odd {x: 1}\n"
    assert parse_yaml_config(text, "c.yaml")["MODEL"] == {"A": [1, 2], "B": INERT, "C": INERT}


def test_yaml_lists_as_text_are_lists() -> None:
    fields = ConfigFields({"A": "(10, 10, -5.0)", "B": "[[1], [2, 3]]", "C": "__import__('os')"}, "c.yaml")
    assert fields.numbers("A") == (10, 10, -5.0)
    assert fields.lists("B") == ((1,), (2, 3))
    with pytest.raises(EdgekitError, match=r"c\.yaml: C .*is not a list of numbers"):
        fields.numbers("C")


def test_python_values() -> None:
    text = (
        '"""A config."""\nimport os\nnorm = dict(type="BN", eps=1e-3)\nsides = (1333, -800)\n'
        'model = dict(norm=norm, sides=sides, flags=[True, None], more={"a": 1}, lr=0.1 * 2, run=os.system("exit 3"))\n'
    )
    model = parse_python_config(text, "c.py")["model"]
    assert model == {
        "norm": {"type": "BN", "eps": 1e-3},
        "sides": [1333, -800],
        "flags": [True, None],
        "more": {"a": 1},
        "lr": INERT,
        "run": INERT,
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("_BASE_: base.yaml\nMODEL: {}\n", "_BASE_"),
        ("MODEL: [1", "is not YAML"),
        ("[" * 5000, "is not YAML"),
        ("- 1", "holds no config"),
        ("a: 1", "MODEL"),
        ("MODEL: {a: " + "1" * 1_000_001 + "}", "too long"),
    ],
)
def test_yaml_that_is_no_full_config(text: str, said: str) -> None:
    with pytest.raises(EdgekitError, match=said) as error:
        parse_yaml_config(text, "c.yaml")
    assert "cfg.dump()" in error.value.hint
    assert len(str(error.value)) < 500


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("_base_ = ['x.py']\nmodel = dict()\n", "_base_"),
        ("with read_base():\n    from x import *\nmodel = dict()\n", "line 1"),
        ("model = dict()\nmodel['type'] = 'X'\n", "line 2"),
        ("model = dict()\nmodel.update(type='X')\n", "line 2"),
        ("model = dict(\n", "plain values"),
        ("model = " + "[" * 150 + "]" * 150, "nested deeper|too many nested"),
        ("model = " + "[" * 5000 + "]" * 5000, "plain values"),
        ("model = " + "-" * 100_000 + "1", "plain values|model"),
        ("x = 1\n", "model"),
        ("model = dict()\0", "plain values"),
    ],
)
def test_python_that_is_no_full_config(text: str, said: str) -> None:
    with pytest.raises(EdgekitError, match=said) as error:
        parse_python_config(text, "c.py")
    assert "work_dir" in error.value.hint
    assert len(str(error.value)) < 500


def test_shared_references_are_not_multiplied() -> None:
    text = "a0 = [1, 1]\n" + "".join(f"a{i} = [{', '.join([f'a{i - 1}'] * 9)}]\n" for i in range(1, 40))
    fields = ConfigFields(parse_python_config(f"{text}model = dict(x=a39)\n", "c.py"), "c.py")
    with pytest.raises(EdgekitError, match=r"model\.x") as error:
        fields.numbers("model.x")
    assert len(str(error.value)) < 3000


def test_a_config_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match="cannot be read"):
        read_python_config(tmp_path / "c.py")
