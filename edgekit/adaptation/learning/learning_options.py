"""How new classes are learned: the options of an adaptation that shape its weights, checked."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.adaptation.learning.strategies import trained_layers
from edgekit.errors import EdgekitError

CHOICES = {
    "scoring": ("exact", "joint"),
    "protect": ("distill", "l2", "frozen", "none"),
    "trunk": ("onnx", "tensorrt", "torch"),
    "masks_from_boxes": ("auto", "base", "none"),
}
LEAST_VIEWS, MOST_VIEWS, VIEWS_IN_ALL = 2, 36, 180  # per photo, per photo, of all photos (docs/log.md)


@dataclass(frozen=True)
class Learning:
    """How new classes are learned; the fields are the options of ``edgekit adapt`` (docs/adapt.md).

    Raises EdgekitError for a value that is out of range.
    """

    scoring: str = "exact"
    train: str = "predictors"
    init: str = "mean"
    epochs: int = 60
    lr: float = 3e-3
    protect: str = "l2"
    views: int | None = None
    seed: int = 0
    trunk: str = "onnx"
    masks_from_boxes: str = "auto"

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                option = name.replace("_", "-")
                raise EdgekitError(f"--{option} {getattr(self, name)}: unknown", f"give {' or '.join(choices)}")
        trained_layers(self.train)
        if self.epochs < 0 or self.lr <= 0 or (self.views is not None and self.views < 1):
            raise EdgekitError(
                f"--epochs {self.epochs} --lr {self.lr} --views {self.views}: nothing would be learned",
                "give numbers above 0 (--epochs 0 with --init prototype needs no training)",
            )

    @property
    def joint(self) -> bool:
        """Whether all classes share one softmax."""
        return self.scoring == "joint"

    def views_per_photo(self, photos: int) -> int:
        """How many views of each photo, the plain one included: more when there are few photos."""
        return self.views or min(MOST_VIEWS, max(LEAST_VIEWS, round(VIEWS_IN_ALL / max(photos, 1))))
