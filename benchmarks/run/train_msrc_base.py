"""Train a base model on real photos: the MSRC classes other than bird and boat; run again, it goes on where it stopped.

    python -m benchmarks.run.train_msrc_base --work /tmp/msrc --output /tmp/msrc/base.safetensors

Adding bird and boat to it is the real-photo experiment. The body keeps ImageNet's weights; FPN, RPN and heads learn
from varied views of the train photos. Birds and boats carry no annotation, and a photo that shows nothing else is left
out. The AP on all test photos, of the 11 classes, stands in the output's metadata. The photos, and so the weights, are
for research use only: keep the output outside the repository.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from benchmarks.lib.paths import SHARED
from benchmarks.lib.training_loop import Learned, Sample, fit, load_imagenet, pack, small_detector
from edgekit.adaptation.features.views import View, plain_view, varied_view
from edgekit.data.annotations.formats import read_dataset

MSRC = SHARED / "msrc"
NEW_CLASSES = ("bird", "boat")
SIZE = (320, 320)
BATCH = 4
PEAK_LR = 5e-4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the state, the log and the wheel")
    parser.add_argument("--output", type=Path, required=True, help="model to write (.safetensors)")
    parser.add_argument("--msrc", type=Path, default=MSRC, help="folder of the photos and their annotations")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    classes, views = train_views(args.msrc)
    model = small_detector(1 + len(classes)).to(memory_format=torch.channels_last).train()
    model.backbone.body.requires_grad_(False)
    state = args.work / "state.pt"
    if not state.exists():
        load_imagenet(model, args.work)
    learned = [Learned("rest", [p for p in model.parameters() if p.requires_grad], PEAK_LR)]
    fit(model, learned, lambda start: batches(views, start, args.seed), args.steps, state)
    settings = {"script": "benchmarks/run/train_msrc_base.py", "steps": args.steps, "batch": BATCH, "seed": args.seed}
    test = ("msrc-test", args.msrc / "instances_test.json", args.msrc / "images")
    pack(model, classes, settings, test, args.work / "rough.safetensors", args.output)


def train_views(msrc: Path) -> tuple[tuple[str, ...], list[View]]:
    """The base classes, and the train photos that show one of them, fitted to the canvas."""
    dataset = read_dataset(msrc / "instances_train.json", msrc / "images")
    classes = tuple(c for c in dataset.categories if c not in NEW_CLASSES)
    labels = {name: i for i, name in enumerate(classes, start=1)}
    photos = [p for p in dataset.photos if any(a.category in labels for a in p.annotations)]
    return classes, [plain_view(p, labels, SIZE) for p in photos]


def batches(views: list[View], start: int, seed: int) -> Iterable[list[Sample]]:
    """Batches from the step ``start`` on, without end; each photo once an epoch, in a new view and a new order."""

    def indices() -> Iterable[list[int]]:
        for step in itertools.count(start):
            yield list(range(step * BATCH, (step + 1) * BATCH))

    data = _VariedViews(views, seed)
    return torch.utils.data.DataLoader(data, batch_sampler=indices(), num_workers=1, collate_fn=list)


class _VariedViews(torch.utils.data.Dataset):
    """Sample ``i`` of an endless stream of views as torchvision's training input."""

    def __init__(self, views: list[View], seed: int) -> None:
        self.views, self.seed = views, seed

    def __getitem__(self, index: int) -> Sample:
        epoch, place = divmod(index, len(self.views))
        order = np.random.default_rng([self.seed, 0, epoch]).permutation(len(self.views))
        view = varied_view(self.views[order[place]], np.random.default_rng([self.seed, 1, index]))
        target = {
            "boxes": torch.from_numpy(view.boxes),
            "labels": torch.from_numpy(view.labels),
            "masks": torch.from_numpy(view.masks.astype(np.uint8)),
        }
        return torch.from_numpy(view.pixels).permute(2, 0, 1).float() / 255, target


if __name__ == "__main__":
    main()
