"""The options of an adaptation that say how it learns, checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgekit.adaptation.learning.strategies import trained_layers
from edgekit.errors import EdgekitError

CHOICES = {
    "scoring": ("exact", "joint"),
    "protect": ("distill", "l2", "frozen", "none"),
    "trunk": ("onnx", "tensorrt", "torch"),
}
LEAST_VIEWS, MOST_VIEWS, VIEWS_IN_ALL = 2, 36, 180  # of a photo, of a photo, of all photos (docs/log.md)


@dataclass(frozen=True)
class Settings:
    """How new classes are learned; the names are those of ``adapt``'s parameters."""

    scoring: str
    train: str
    init: str
    epochs: int
    lr: float
    protect: str
    views: int | None
    seed: int
    trunk: str

    def views_of(self, photos: int) -> int:
        """How many views of each photo, the plain one included: more of few photos."""
        return self.views or min(MOST_VIEWS, max(LEAST_VIEWS, round(VIEWS_IN_ALL / max(photos, 1))))

    def check_masks(self, has_masks: bool) -> None:
        """Raise if only masks would train of a model that has none."""
        if self.train == "mask" and not has_masks:
            raise EdgekitError(
                "--train mask: the base model, a Faster R-CNN, has no masks", "give predictors or last:K"
            )

    def check(self, max_old_drop: float | None, old_data: Path | None, cache_gb: float) -> None:
        """Raise for a value that cannot be meant."""
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                option = "--" + name.replace("_", "-")
                raise EdgekitError(f"{option} {getattr(self, name)}: unknown", f"give {' or '.join(choices)}")
        trained_layers(self.train)
        if self.epochs < 0 or self.lr <= 0 or (self.views is not None and self.views < 1):
            raise EdgekitError(
                f"--epochs {self.epochs} --lr {self.lr} --views {self.views}: nothing would be learned",
                "give numbers above 0 (--epochs 0 with --init prototype needs no training)",
            )
        if cache_gb <= 0:
            raise EdgekitError(f"--cache-gb {cache_gb}: leaves no room", "give a size above 0")
        if max_old_drop is not None and old_data is None:
            raise EdgekitError("--max-old-drop: nothing to measure the old classes' AP on", "give --old-data")
