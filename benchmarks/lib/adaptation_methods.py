"""Ways to add classes to a model, each run in a process of its own so that its time and memory can be told."""

from __future__ import annotations

import dataclasses
import multiprocessing
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.lib.processes import peak_rss_mb
from edgekit.adaptation.bases import CheckpointBase, open_base
from edgekit.adaptation.features.feature_cache import FeatureCache
from edgekit.adaptation.inputs import Inputs
from edgekit.adaptation.job import Job
from edgekit.adaptation.learning.learning_options import Learning
from edgekit.adaptation.splitting import split
from edgekit.data.annotations.dataset import Dataset, Photo
from edgekit.demo.naive_loop import fine_tune_naively
from edgekit.model.checkpoint import save_model
from edgekit.processes import Processes
from edgekit.progress import silent

# TFA (arXiv:2003.06957) fine-tunes the last layers on a small set balanced over old and new classes; all rows train.
BALANCED = {"scoring": "joint", "protect": "none"}
METHODS: dict[str, dict[str, Any]] = {
    "edgekit, exact (default)": {},
    "edgekit, joint, l2": {"scoring": "joint"},
    "edgekit, prototypes, no training": {"init": "prototype", "epochs": 0},
    "torchvision's loop": {},
    "TFA-style, balanced with old data": BALANCED,
    "all data, all labels (upper bound)": BALANCED,
}
NAIVE, BALANCED_SET, UPPER = (
    "torchvision's loop",
    "TFA-style, balanced with old data",
    "all data, all labels (upper bound)",
)


@dataclass(frozen=True)
class Task:
    """What one method is given."""

    method: str
    base: str
    classes: tuple[str, ...]
    photos: tuple[Photo, ...]  # only the new classes annotated
    labelled: tuple[Photo, ...]  # the same with all labels, for the upper bound
    balanced: tuple[Photo, ...]  # old data, as many objects a class as the new classes have
    old: tuple[Photo, ...]  # all old data
    seed: int
    cache: str  # the folder of exported trunks


@dataclass(frozen=True)
class Cost:
    """What a method took: its own seconds, features and training, and its process's peak resident memory."""

    seconds: float
    peak_rss_mb: float


def run(task: Task, output: Path) -> Cost:
    """Run a method in a new process and write its model to ``output``."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_run, (task, output, torch.get_num_threads()))


def _run(task: Task, output: Path, threads: int) -> Cost:
    torch.set_num_threads(threads)
    base = open_base(task.base)
    assert isinstance(base, CheckpointBase)
    meta = dataclasses.replace(base.meta, generations=(*base.meta.generations, task.classes))
    if task.method == NAIVE:
        size = base.meta.input_size
        epochs = Learning().epochs
        module, seconds = fine_tune_naively(base.module, task.photos, task.classes, size, epochs, task.seed)
        save_model(output, module, dataclasses.replace(meta, scoring="joint"))
        return _cost(seconds)
    learning = Learning(**METHODS[task.method], seed=task.seed)
    photos = list(task.labelled if task.method == UPPER else task.photos)
    replay = {BALANCED_SET: task.balanced, UPPER: task.old}.get(task.method, ())
    own = not learning.joint and learning.epochs  # the default also picks its best epoch on held-out photos
    learn, out = split(photos, task.classes, task.seed) if own else (photos, [])
    held_out = Dataset(Path("held out"), task.classes, tuple(out))
    inputs = Inputs(task.classes, {}, tuple(learn), held_out, tuple(replay), [], Dataset(Path(), (), ()))
    trunk = base.trunk(learning.trunk, Path(task.cache), silent)
    torch.manual_seed(task.seed)
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        job = Job(base, inputs, learning, Processes(), silent)
        predictors, generation, _ = job.learn(*job.features(trunk, FeatureCache(Path(folder), 20.0)))
        seconds = time.monotonic() - began
    base.save(output, predictors, generation, dataclasses.replace(meta, scoring=learning.scoring))
    return _cost(seconds)


def _cost(seconds: float) -> Cost:
    return Cost(round(seconds, 1), peak_rss_mb())
