"""XML of strangers: entities are not expanded, and what is no XML is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgekit.data.annotations.safe_xml import read_xml, root_tag
from edgekit.errors import EdgekitError

LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


def test_entities_that_would_fill_the_memory_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.xml"
    file.write_text(f'<!DOCTYPE annotations [<!ENTITY l0 "lol">{LAUGHS}]><annotations>&l9;</annotations>')
    with pytest.raises(EdgekitError, match=r"a\.xml: is not XML .*document type"):
        read_xml(file)


def test_a_file_of_the_disk_is_not_read_into_the_tree(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    file = tmp_path / "a.xml"
    file.write_text(f'<!DOCTYPE a [<!ENTITY e SYSTEM "{tmp_path / "secret"}">]><a>&e;</a>')
    with pytest.raises(EdgekitError, match="document type"):
        read_xml(file)


@pytest.mark.parametrize("text", ["", "{}", "<a><b></a>", '<?xml version="1.0" encoding="nonsense"?><a/>'])
def test_what_is_no_xml_is_named(text: str, tmp_path: Path) -> None:
    file = tmp_path / "a.xml"
    file.write_text(text)
    with pytest.raises(EdgekitError, match=r"a\.xml: is not XML"):
        read_xml(file)


def test_the_outermost_element_tells_formats_apart(tmp_path: Path) -> None:
    file = tmp_path / "a.xml"
    file.write_text("<?xml version='1.0'?><!-- CVAT --><annotations><version>1.1</version>")  # need not be whole
    assert root_tag(file) == "annotations"
    for text in ("", "nothing", "<"):
        file.write_text(text)
        assert root_tag(file) == ""
    os.mkfifo(tmp_path / "pipe.xml")
    assert root_tag(tmp_path / "pipe.xml") == ""
