"""What a model file says of itself, as JSON in its metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from edgekit.artifacts.detector_settings import DetectorSettings
from edgekit.errors import EdgekitError
from edgekit.files.code_digest import installed_version

METADATA_KEY = "edgekit"
BACKGROUND = "__background__"
OVERLAPS = ("one", "keep")  # one label per object, or all that is found


class PackRecord(NamedTuple):
    """A pack in a model: its name, the SHA-256 of what is in it, and which generation it is."""

    name: str
    sha256: str
    number: int


@dataclass(frozen=True)
class ModelMeta:
    """What a model file says of itself.

    ``generations`` holds the class names each adaptation added, the base model's first and led by the background, so
    that a label is a position in ``categories``. A name that an earlier generation has too is a class that the
    adaptation refined. ``parents`` holds, for each added one, the numbers of those it was trained on top of, and
    ``packs`` which of them are packs. ``fingerprint`` says which base model a graph was made
    from (``model.checkpoint.fingerprint``). ``input_size`` is (height, width) in pixels. ``input_type`` says what a
    graph takes: "uint8" canvases or "float", their values in planes (see ``data.images.graph_input``).
    ``settings`` say how the detector is built; ``architecture`` is a name for it, in the manner of torchvision's.
    ``overlaps`` is "one" for a graph that gives one label per object, else "keep". ``recognised`` says how a checkpoint
    that says nothing of itself was understood.
    """

    architecture: str
    generations: tuple[tuple[str, ...], ...]
    input_size: tuple[int, int]
    scoring: str = "exact"
    precision: str = "fp32"
    input_type: str = "uint8"
    settings: DetectorSettings = field(default_factory=DetectorSettings)
    overlaps: str = "keep"
    parents: tuple[tuple[int, ...], ...] = ()
    packs: tuple[PackRecord, ...] = ()
    fingerprint: str = ""
    recognised: Mapping[str, str] = field(default_factory=dict)
    parent_sha256: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)

    @property
    def categories(self) -> tuple[str, ...]:
        """Class names by label; label 0 is the background."""
        return tuple(name for generation in self.generations for name in generation)

    @property
    def old_classes(self) -> tuple[str, ...]:
        """The base model's classes, without the background."""
        return tuple(name for name in self.generations[0] if name != BACKGROUND)

    @property
    def new_classes(self) -> tuple[str, ...]:
        """The classes that adaptations added; those of the base model that one refined are none of them."""
        later = (name for generation in self.generations[1:] for name in generation if name not in self.old_classes)
        return tuple(dict.fromkeys(later))

    @property
    def class_labels(self) -> tuple[int, ...]:
        """For each label, the one that stands for its class: of a class that an adaptation refined, which has a label
        in several generations, the first."""
        names, base = self.categories, len(self.generations[0])
        return tuple(label if label < base else names.index(name) for label, name in enumerate(names))

    @property
    def refined_classes(self) -> tuple[str, ...]:
        """The classes that have labels in several generations."""
        refined = (name for number in range(1, len(self.generations)) for name in self.refined_by(number))
        return tuple(dict.fromkeys(refined))

    def refined_by(self, number: int) -> tuple[str, ...]:
        """The classes of an added generation that earlier ones have too."""
        earlier = {name for generation in self.generations[:number] for name in generation}
        return tuple(name for name in self.generations[number] if name in earlier)

    @property
    def group_sizes(self) -> list[int]:
        """How many classes are scored together, the base model's first (which count the background)."""
        return [len(g) for g in self.generations] if self.scoring == "exact" else [len(self.categories)]

    def parents_of(self, number: int) -> tuple[int, ...]:
        """The numbers of the generations that an added one was trained on top of, besides the base model."""
        return self.parents[number - 1] if self.parents else tuple(range(1, number))

    def as_base(self) -> ModelMeta:
        """The metadata of a model to add a generation to: one softmax made all of its classes one generation."""
        if self.scoring == "exact":
            return self
        return replace(self, generations=(self.categories,), parents=(), scoring="exact")

    def with_generation(self, classes: tuple[str, ...], parents: tuple[int, ...] | None = None) -> ModelMeta:
        """The metadata of the model with one more generation, by default trained on top of all."""
        number = len(self.generations)
        own = tuple(range(1, number)) if parents is None else parents
        return replace(self, generations=(*self.generations, classes), parents=(*self.parents, own))

    def to_json(self) -> str:
        """The metadata as one line of JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str, source: Path) -> ModelMeta:
        """Parse ``to_json``'s text; ``source`` is the file to name in an error."""
        try:
            values = json.loads(text)
            values["generations"] = tuple(tuple(g) for g in values["generations"])
            if len(values["generations"]) > 1 and "parents" not in values:
                raise EdgekitError(f"{source}: was adapted by an edgekit before packs", "adapt its base model again")
            values["packs"] = tuple(PackRecord(*record) for record in values.get("packs", ()))
            values["parents"] = tuple(tuple(numbers) for numbers in values.get("parents", ()))
            values["settings"] = DetectorSettings.from_values(values["settings"])
            height, width = values["input_size"]
            return cls(**{**values, "input_size": (int(height), int(width))})
        except (ValueError, TypeError, KeyError) as error:
            raise EdgekitError(
                f"{source}: its edgekit metadata is damaged: {error}", "write the file again with this edgekit"
            ) from None


def tool_versions() -> dict[str, str]:
    """The versions of the packages that shape a model file, of those installed."""
    packages = ("edgekit", "torch", "torchvision", "onnx", "onnxruntime-gpu", "numpy")
    return {package: version for package in packages if (version := installed_version(package))}
