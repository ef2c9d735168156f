"""A folder that appears as a whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edgekit.errors import EdgekitError
from edgekit.files import output_folder


@contextlib.contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder beside ``folder`` that takes its place when the block ends well and goes when it fails."""
    output_folder(folder.parent)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.{os.getpid()}.", dir=folder.parent))
    try:
        yield temporary
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    except OSError as error:
        raise EdgekitError(
            f"{folder}: cannot be written: {error.strerror or error}", "free space or choose another folder"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
