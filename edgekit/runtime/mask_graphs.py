"""The masks of what a detector found, made by graphs of a few static sizes that lie beside its own."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.artifacts.metadata import ModelMeta
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import sha256


class MaskGraphs:
    """A detector's mask graphs, each loaded by ``load`` (an onnxruntime session of a path) when it is first needed.

    Raises EdgekitError if a file is missing or not the one that was exported with the detector.
    """

    def __init__(self, detector: Path, meta: ModelMeta, load: Callable[[str], Any]) -> None:
        self.load = load
        self.sessions: dict[Path, Any] = {}
        self.files: dict[int, dict[int, Path]] = {}  # by generation and slots
        for name, about in meta.mask_files.items():
            path = _checked(detector, name, about["sha256"])
            if "slots" in about:
                self.files.setdefault(about["generation"], {})[about["slots"]] = path
        # Joint scoring has one group of all generations' classes.
        groups = meta.generations if len(self.files) > 1 else (meta.categories,)
        self.ends = np.cumsum([len(names) for names in groups])

    def of(self, features: Mapping[str, Any], boxes: np.ndarray, labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """Masks [D, 28, 28] of one canvas's slots: zeros for those with score 0.

        ``features`` are the detector's other outputs, by name, as onnxruntime holds them: they are not copied.
        """
        generations = np.searchsorted(self.ends, labels, side="right")
        masks: np.ndarray | None = None
        for generation, files in self.files.items():
            left = np.flatnonzero((scores > 0) & (generations == generation))
            for slots in sizes(len(left), tuple(sorted(files))):
                taken, left = left[:slots], left[slots:]
                rows = np.resize(taken, slots)  # what is left over repeats
                made = self._run(files[slots], features, boxes[rows], labels[rows])[: len(taken)]
                masks = np.zeros((len(scores), *made.shape[1:]), made.dtype) if masks is None else masks
                masks[taken] = made
        return np.zeros((len(scores), 28, 28), np.float32) if masks is None else masks

    def _run(self, path: Path, features: Mapping[str, Any], boxes: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """One run of a graph."""
        if path not in self.sessions:
            self.sessions[path] = self.load(str(path))
        session = self.sessions[path]
        binding = session.io_binding()
        binding.bind_cpu_input("boxes", boxes)
        binding.bind_cpu_input("labels", labels)
        for taken in session.get_inputs():
            if taken.name in features:
                binding.bind_ortvalue_input(taken.name, features[taken.name])
        binding.bind_output("masks")
        session.run_with_iobinding(binding)
        return binding.copy_outputs_to_cpu()[0]


@functools.lru_cache
def sizes(found: int, offered: tuple[int, ...]) -> tuple[int, ...]:
    """The sizes of the graphs to run for ``found`` slots, large ones first: as few slots, then runs, as can be."""
    best: list[tuple[int, ...]] = [()]
    for count in range(1, found + 1):
        ways = ((*best[max(0, count - size)], size) for size in offered)
        best.append(min(ways, key=lambda chosen: (sum(chosen), len(chosen))))
    return tuple(sorted(best[found], reverse=True))


def _checked(detector: Path, name: str, digest: str) -> Path:
    """The path of one of a detector's mask files."""
    path = detector.with_name(name)
    if not path.is_file():
        raise EdgekitError(
            f"{path}: is missing; {detector} needs it for its masks",
            "put the files of one export into one folder under their names, or export again",
        )
    if sha256(path) != digest:
        raise EdgekitError(
            f"{path}: was not exported together with {detector}",
            "put the files of one export beside it, or export again",
        )
    return path
