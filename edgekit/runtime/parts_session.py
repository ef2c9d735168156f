"""Runs a model in parts: the base model, then each pack on what the base gives, then masks of what was found."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.artifacts import manifest as parts
from edgekit.artifacts.manifest import check_files, read_manifest
from edgekit.artifacts.pack_files import combined, ordered, read_installed
from edgekit.artifacts.value_names import (
    BOXES,
    CHANNELS,
    CHOSEN,
    FEATURES,
    FOUND,
    IMAGES,
    MASKS,
    PACK_LOGITS,
    logits_of,
)
from edgekit.data.images import graph_input
from edgekit.errors import EdgekitError
from edgekit.runtime.onnx_session import open_ort
from edgekit.runtime.session import Outputs, Session

ON_HOST = (*FOUND, *CHOSEN, MASKS)  # what the host looks at


class PartsSession(Session):
    """A folder that ``edgekit export -o FOLDER`` wrote; what lies between the graphs is not copied.

    Its engines run where it has some and no ``provider`` of onnxruntime is asked for, else its graphs in onnxruntime.

    What computes the base model's detections is the same file whatever packs are installed. ``packs`` are the names of
    the installed packs to use, by default all; the other parameters are those of ``OnnxSession``.
    """

    batch = 1

    def __init__(
        self,
        folder: Path,
        packs: Sequence[str] | None = None,
        provider: str = "",
        threads: int = 0,
        trace: str = "",
    ) -> None:
        manifest = read_manifest(folder)
        check_files(folder, manifest)
        read = ordered(read_installed(folder, manifest, packs))
        used = [manifest.find(pack.name, folder) for pack in read]
        self.meta = combined(manifest.meta, read, folder, force=True)  # what fits was decided when it was installed
        self.overlaps, self.base_labels = manifest.overlaps, len(manifest.meta.categories)
        opened: Callable[[str], Any]
        if manifest.engine is not None and not provider:
            from edgekit.runtime.engine_part import engine_parts

            opened, title = engine_parts(folder)
        else:
            options: dict[str, Any] = {"threads": threads, "precision": manifest.meta.precision, "by_turns": True}
            load = partial(_load, trace=trace, provider=provider, **options)
            opened, title = lambda name: LoadedPart(folder / name, load), "onnxruntime"
        try:
            self.base = opened(parts.BASE)
            self.packs = [opened(pack.detect) for pack in used]
            self.heads = {slots: opened(parts.mask_head(slots)) for slots in manifest.slots}
            names = [{slots: parts.masks(slots) for slots in manifest.slots}]
            names += [{slots: pack.masks(slots) for slots in manifest.slots} for pack in used]
            self.masks = [{slots: opened(name) for slots, name in own.items()} for own in names]
        except EdgekitError:
            raise
        except Exception as error:  # onnxruntime's own exceptions share no public base class
            raise EdgekitError(f"{folder}: onnxruntime cannot load it: {error}", parts.AGAIN) from None
        self.digests = [pack.sha256 for pack in used]
        self.runtime = f"{title} {self.base.provider}, in parts"

    def infer(self, pixels: np.ndarray) -> Outputs:
        """Run on one canvas: uint8 [H, W, 3]."""
        values = self.base.run({IMAGES: graph_input(pixels[None], self.meta.input_type)})
        boxes, labels, scores = (values[name].numpy()[0] for name in FOUND)
        results = [self._masked(0, values, boxes, labels, scores)]
        first = self.base_labels
        for number, (part, digest) in enumerate(zip(self.packs, self.digests, strict=True), start=1):
            found = part.run(values)
            values[logits_of(digest)] = found[PACK_LOGITS]
            own = self._masked(number, values, *(found[name].numpy() for name in CHOSEN))
            results.append(own._replace(labels=own.labels + first))
            first += len(self.meta.generations[number])
        return Outputs(*(np.concatenate(rows) for rows in zip(*results, strict=True)))

    def end_profiling(self) -> list[Path]:
        """The traces of all graphs."""
        return [Path(part.session.end_profiling()) for part in self._parts()]

    def close(self) -> None:
        """Release what the graphs hold."""
        for part in self._parts():
            part.close()

    def _parts(self) -> list[Any]:
        masks = [part for own in (self.heads, *self.masks) for part in own.values()]
        return [self.base, *self.packs, *masks]

    def _masked(
        self, number: int, values: Mapping[str, Any], boxes: np.ndarray, channels: np.ndarray, scores: np.ndarray
    ) -> Outputs:
        """The detections of the base model, 0, or of a pack that were found, with their masks."""
        found = scores > 0
        boxes, channels = boxes[found], channels[found].astype(np.int64, copy=False)
        masks = np.zeros((len(boxes), 28, 28) if self.heads else (len(boxes), 0, 0), np.float32)
        done = 0
        for slots in sizes(len(boxes), tuple(sorted(self.heads))):
            rows = np.resize(np.arange(done, min(done + slots, len(boxes))), slots)  # what is left over repeats
            features = self.heads[slots].run({**values, BOXES: boxes[rows]})[FEATURES]
            made = self.masks[number][slots].run({FEATURES: features, CHANNELS: channels[rows]})[MASKS].numpy()
            taken = min(slots, len(boxes) - done)
            masks[done : done + taken] = made[:taken]
            done += taken
        return Outputs(boxes, channels, scores[found], masks)


class LoadedPart:
    """One graph, which takes values by name and leaves what it makes where it runs."""

    def __init__(self, path: Path, load: Callable[[str], Any]) -> None:
        self.session = load(str(path))
        self.takes = [value.name for value in self.session.get_inputs()]
        self.gives = [value.name for value in self.session.get_outputs()]
        self.provider = str(self.session.get_providers()[0].removesuffix("ExecutionProvider").lower())

    def run(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Run on arrays and onnxruntime's values, of which those that the graph does not take are left out."""
        binding = self.session.io_binding()
        for name in self.takes:
            value = values[name]
            if isinstance(value, np.ndarray):
                binding.bind_cpu_input(name, np.ascontiguousarray(value))
            else:
                binding.bind_ortvalue_input(name, value)
        for name in self.gives:
            binding.bind_output(name, "cpu" if self.provider == "cpu" or name in ON_HOST else "cuda")
        self.session.run_with_iobinding(binding)
        return dict(zip(self.gives, binding.get_outputs(), strict=True))

    def close(self) -> None:
        """onnxruntime releases what the session holds with it."""


def _load(path: str, trace: str, **options: Any) -> Any:
    """A graph's session; its trace has a name of its own, since onnxruntime's has only seconds in it."""
    return open_ort(path, trace=f"{trace}-{Path(path).stem}" if trace else "", **options)


@functools.lru_cache
def sizes(found: int, offered: tuple[int, ...]) -> tuple[int, ...]:
    """The sizes of the graphs to run for ``found`` slots, large ones first: as few slots, then runs, as can be."""
    if not offered:
        return ()
    best: list[tuple[int, ...]] = [()]
    for count in range(1, found + 1):
        ways = ((*best[max(0, count - size)], size) for size in offered)
        best.append(min(ways, key=lambda chosen: (sum(chosen), len(chosen))))
    return tuple(sorted(best[found], reverse=True))
