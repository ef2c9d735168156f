"""Photos that annotation files name: where each is, and how large."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path, PureWindowsPath

from PIL import Image

from edgekit.data.annotations.dataset import Annotation, Dataset, Photo
from edgekit.data.images import SUFFIXES, orientation
from edgekit.errors import EdgekitError
from edgekit.files.reading import refuse_special

# The file, its photo, the photo's (height, width), the objects.
AnnotationFile = tuple[Path, Path, tuple[int, int], tuple[Annotation, ...]]


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


def dataset_of(folder: Path, found: Sequence[AnnotationFile]) -> Dataset:
    """The dataset of a folder with one annotation file per photo; raises where two are of the same photo."""
    seen: dict[Path, Path] = {}
    for file, photo, _, _ in found:
        other = seen.setdefault(photo.resolve(), file)
        if other != file:
            raise EdgekitError(f"{file}: annotates {photo.name}, and so does {other.name}", "delete one of the two")
    photos = tuple(Photo(i, photo, *size, rows) for i, (_, photo, size, rows) in enumerate(found, start=1))
    return Dataset(folder, tuple(sorted({a.category for p in photos for a in p.annotations})), photos)
