"""What are the inputs, outputs and inner values of an exported graph called?"""

from __future__ import annotations

OUTPUTS = ("boxes", "labels", "scores", "masks")  # a detector's; a Faster R-CNN's graph has no masks
# What a detector's later generations read, and what shows at which stage two models begin to differ.
INNER = ("trunk.table", "trunk.proposals", "trunk.proposed", "trunk.box_features", "predictors.logits")
