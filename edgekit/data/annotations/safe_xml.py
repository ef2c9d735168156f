"""XML files of strangers, read without document types: these can make a small file fill all memory."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from edgekit.errors import EdgekitError
from edgekit.files.reading import refuse_special


class _WithoutDoctype(ET.TreeBuilder):
    """Builds the tree as usual; the parser calls ``doctype`` before it reads any entity of the document type."""

    def doctype(self, name: str, *_: object) -> None:
        raise ET.ParseError(f"it has a document type, {name}, which no annotation tool writes")


class _Found(Exception):
    """The name of the outermost element."""


class _Outermost:
    """Stops a parser at the name of the outermost element, or of the document type, which is the same."""

    def doctype(self, name: str, *_: object) -> None:
        raise _Found(name)

    def start(self, tag: str, _: object) -> None:
        raise _Found(tag)


def read_xml(path: Path) -> ET.Element:
    """The root of an XML file; raises where it is not XML, or has a document type."""
    refuse_special(path)
    try:
        return ET.parse(path, ET.XMLParser(target=_WithoutDoctype())).getroot()
    except (OSError, ET.ParseError, ValueError, LookupError) as error:
        raise EdgekitError(f"{path}: is not XML ({error})", "export the annotations again") from None


def root_tag(path: Path) -> str:
    """The name of an XML file's outermost element, of which no more is read; "" where the file is not XML."""
    parser = ET.XMLParser(target=_Outermost())
    try:
        refuse_special(path)
        with path.open("rb") as file:
            while chunk := file.read(4096):
                parser.feed(chunk)
    except _Found as found:
        return str(found)
    except (OSError, ET.ParseError, ValueError, LookupError, EdgekitError):
        pass
    return ""
