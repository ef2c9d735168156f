"""Which file is the photo that an annotation names, and how large is it?"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PureWindowsPath

from PIL import Image

from edgekit.data.images import SUFFIXES, orientation
from edgekit.errors import EdgekitError
from edgekit.files.reading import refuse_special


def photo_size(path: Path) -> tuple[int, int]:
    """(height, width) of a photo as ``read_image`` returns it, from the file's header."""
    refuse_special(path)
    try:
        with Image.open(path) as image:
            if image.format == "TIFF":  # which Pillow turns by itself when it reads the pixels
                image.load()
            turned = orientation(image) >= 5  # the photo lies on its side
            width, height = image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise EdgekitError(f"{path}: not a readable image: {error}", "replace or remove the file") from None
    return (width, height) if turned else (height, width)


def find_photo(name: str, named_in: Path, folders: Iterable[Path]) -> Path:
    """The photo ``name`` of ``named_in`` in the first folder that has it, under another image suffix if need be."""
    parts = PureWindowsPath(name)  # splits at both kinds of slashes, as tools on Windows write them
    wanted = [Path(*parts.parts), Path(parts.name)] if parts.name else [Path(named_in.stem)]
    names = [name for part in wanted for name in (part, *(part.with_suffix(s) for s in SUFFIXES))]
    tried = [folder / name for folder in folders for name in names]
    for candidate in tried:
        if candidate.is_file():
            return candidate
    for candidate in tried:
        refuse_special(candidate)
    raise EdgekitError(f"{name or named_in.stem}: named in {named_in} but not there", "give the folder with --images")


def refuse_twice(pairs: Iterable[tuple[Path, Path]]) -> None:
    """Raise where two of (annotations, photo) are of the same photo."""
    seen: dict[Path, Path] = {}
    for file, photo in pairs:
        key = photo.resolve()
        if key in seen:
            raise EdgekitError(f"{file}: annotates {photo.name}, and so does {seen[key].name}", "delete one of the two")
        seen[key] = file
