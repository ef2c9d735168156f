"""The options of an adaptation that say how it learns, checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgekit.adaptation.strategies import trained_layers
from edgekit.adaptation.training import Schedule
from edgekit.errors import EdgekitError

CHOICES = {
    "scoring": ("exact", "joint"),
    "schedule": ("cosine", "constant"),
    "protect": ("distill", "l2", "frozen", "none"),
    "old_objects": ("background", "ignore"),
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
    schedule: str
    warm_up: float
    weight_decay: float
    protect: str
    old_objects: str
    views: int | None
    seed: int
    trunk: str

    @property
    def optimiser(self) -> Schedule:
        """What the training loop needs to know."""
        return Schedule(self.epochs, self.lr, self.weight_decay, self.warm_up, self.schedule)

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
        if not 0 <= self.warm_up < 1 or self.weight_decay < 0:
            raise EdgekitError(
                f"--warm-up {self.warm_up} --weight-decay {self.weight_decay}: out of range",
                "the warm-up is a share of the steps below 1, the weight decay at least 0",
            )
        if cache_gb <= 0:
            raise EdgekitError(f"--cache-gb {cache_gb}: leaves no room", "give a size above 0")
        if max_old_drop is not None and old_data is None:
            raise EdgekitError("--max-old-drop: nothing to measure the old classes' AP on", "give --old-data")
