"""The TensorRT that is here (TensorRT or TensorRT-RTX), its version, and what it says while it works."""

from __future__ import annotations

import functools
import importlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from edgekit.errors import EdgekitError

MODULES = {"tensorrt": "tensorrt", "rtx": "tensorrt_rtx"}
TITLES = {"tensorrt": "TensorRT", "rtx": "TensorRT-RTX"}
OLDEST = {"tensorrt": "10.3", "rtx": "1.0"}
INSTALL = {
    "tensorrt": "pip install 'edgekit[tensorrt]'; on a Jetson it comes with JetPack, seen from a venv made with "
    "--system-site-packages",
    "rtx": "pip install 'edgekit[rtx]'",
}
KEPT = 50  # messages of each kind


@dataclass
class Messages:
    """What TensorRT said at warning level or above, newest last."""

    warnings: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT))
    errors: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT))

    def reason(self) -> str:
        """The first error, which is the cause of the others, or else the last warning; in one line."""
        said = [*list(self.errors)[:1], *list(self.warnings)[-1:], "it gave no reason"]
        return " ".join(said[0].split())


@dataclass(frozen=True)
class TensorRT:
    """An importable TensorRT: its flavour ("tensorrt" or "rtx"), Python module, exact version and logger."""

    flavour: str
    module: Any
    version: str
    logger: Any

    @property
    def title(self) -> str:
        """Name and version to show."""
        return f"{TITLES[self.flavour]} {self.version}"

    @contextmanager
    def messages(self) -> Iterator[Messages]:
        """Collect what TensorRT says during the block."""
        before, self.logger.said = self.logger.said, Messages()
        try:
            yield self.logger.said
        finally:
            self.logger.said = before


@functools.cache
def load(flavour: str) -> TensorRT:
    """Import a flavour; raises EdgekitError if it is not installed, its libraries are missing or it is too old.

    TensorRT takes one logger per process, so every caller gets the same object.
    """
    title = TITLES[flavour]
    try:
        module = importlib.import_module(MODULES[flavour])
    except (ImportError, OSError) as error:  # OSError: a shared library that is not there or not the right one
        if isinstance(error, ModuleNotFoundError) and error.name == MODULES[flavour]:
            raise EdgekitError(f"{title} is not installed", INSTALL[flavour]) from None
        reason = " ".join(str(error).split())
        raise EdgekitError(f"{title} cannot be loaded: {reason}", f"{INSTALL[flavour]}, again") from None
    check_version(flavour, module.__version__)
    return TensorRT(flavour, module, module.__version__, logger(module))


def check_version(flavour: str, version: str) -> None:
    """Raise EdgekitError for a version too old to build or run edgekit's graphs."""
    from packaging.version import Version

    if Version(version) < Version(OLDEST[flavour]):
        newer = "flash JetPack 6.1 or newer" if flavour == "tensorrt" else INSTALL[flavour]
        raise EdgekitError(
            f"{TITLES[flavour]} {version} is too old: edgekit needs {OLDEST[flavour]} or newer",
            f"{newer}, or pip install -U {MODULES[flavour]}",
        )


def logger(trt: Any) -> Any:
    """A logger that keeps warnings and errors in ``said`` and prints nothing."""

    class Collector(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.said = Messages()

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.said.errors.append(message)
            elif severity == trt.ILogger.WARNING:
                self.said.warnings.append(message)

    return Collector()
