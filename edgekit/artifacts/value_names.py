"""The names of the inputs, outputs and inner values of exported graphs."""

from __future__ import annotations

IMAGES = "images"
OUTPUTS = BOXES, LABELS, SCORES, MASKS = ("boxes", "labels", "scores", "masks")  # a Faster R-CNN's graph has no masks
FOUND = OUTPUTS[:3]
# What later generations read, and what shows at which stage two models begin to differ.
INNER = TABLE, PROPOSALS, PROPOSED, BOX_FEATURES, LOGITS = (
    "trunk.table",
    "trunk.proposals",
    "trunk.proposed",
    "trunk.box_features",
    "predictors.logits",
)
FEATURES = "features"  # what a trunk's box head and mask head give


def of_generation(number: int, name: str) -> str:
    """One generation's own part of an output; the base model is generation 0."""
    return f"generations.{number}.{name}"


def mask_values(number: int) -> tuple[str, str, str]:
    """A generation's slots, as its mask branch reads them: boxes [D, 4] and channels [D]; and its masks [D, 28, 28]."""
    slots = of_generation(number, "slots")
    return f"{slots}.boxes", f"{slots}.channels", f"{slots}.masks"


def until(number: int, name: str) -> str:
    """An output, or the logits, of all generations up to this one, where later ones were appended."""
    return f"until.{number}.{name}"
