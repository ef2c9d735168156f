"""The names of the inputs, outputs and inner values of exported graphs."""

from __future__ import annotations

IMAGES = "images"
OUTPUTS = BOXES, LABELS, SCORES, MASKS = ("boxes", "labels", "scores", "masks")  # a Faster R-CNN's graph has no masks
FOUND = OUTPUTS[:3]
# What packs read, and what shows at which stage two models begin to differ.
INNER = TABLE, PROPOSALS, PROPOSED, BOX_FEATURES, LOGITS = (
    "trunk.table",
    "trunk.proposals",
    "trunk.proposed",
    "trunk.box_features",
    "predictors.logits",
)
PACK_LOGITS = "pack.logits"  # [P, K], which packs that were trained on top of a pack read
FEATURES = "features"  # what a box head or mask head gives
# Where the base model's detections are chosen: the N best pairs of a proposal and a class (scores [N], classes [N]
# without the background, deltas [N, 4], proposals [N, 4]), and of those the D detections.
CANDIDATES = ("candidates.scores", "candidates.classes", "candidates.deltas", "candidates.proposals")
CHOSEN = CHOSEN_BOXES, CHOSEN_CLASSES, CHOSEN_SCORES = ("chosen.boxes", "chosen.classes", "chosen.scores")
# Its mask branch: each detection's channel [D], the mask head's output [D, C, 14, 14], the masks [D, 28, 28].
MASKED = CHANNELS, MASK_FEATURES, MADE_MASKS = ("masked.channels", "masked.features", "masked.masks")


def of_generation(number: int, name: str) -> str:
    """One generation's own part of an output; the base model is generation 0."""
    return f"generations.{number}.{name}"


def logits_of(pack_sha256: str) -> str:
    """The logits of one pack, as packs that were trained on top of it take them."""
    return f"{PACK_LOGITS}.{pack_sha256}"
