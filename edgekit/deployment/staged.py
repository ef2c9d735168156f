"""Files that take their places together when all of them are made, or none does."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edgekit.errors import EdgekitError
from edgekit.files import output_file, writing


@contextlib.contextmanager
def staged(output: Path) -> Iterator[Path]:
    """A folder in which to make ``output`` and the files beside it, under their own names.

    When the block ends well they move to where ``output`` belongs, ``output`` itself last. When it fails what was there
    stays, and the error names the files by the places that they were for.
    """
    output_file(output)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.stem}.") as name:
        try:
            yield Path(name)
        except EdgekitError as error:
            texts = (text.replace(f"{name}/", f"{output.parent}/") for text in (error.message, error.hint))
            raise EdgekitError(*texts) from error
        made = sorted(Path(name).iterdir(), key=lambda p: (p.name == output.name, p.name))  # an engine, then its JSON
        for path in made:
            output_file(output.with_name(path.name))
        with writing(output):
            for path in made:
                os.replace(path, output.with_name(path.name))
