"""One adaptation's steps: features, learning, writing the model with its proof."""

from __future__ import annotations

import dataclasses
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgekit.adaptation import proof as proofs
from edgekit.adaptation.bases import Base
from edgekit.adaptation.features.extraction import PhotoFeatures, extract
from edgekit.adaptation.features.feature_cache import FeatureCache
from edgekit.adaptation.features.frozen_trunk import Trunk
from edgekit.adaptation.inputs import Inputs
from edgekit.adaptation.learning.held_out import scorer
from edgekit.adaptation.learning.initialise import imprint, new_generation
from edgekit.adaptation.learning.joint import merge
from edgekit.adaptation.learning.objectives import ExactObjective, JointObjective, Objective
from edgekit.adaptation.learning.old_rows import complete_rows
from edgekit.adaptation.learning.strategies import new_parameters, old_parameters, trained_layers, wants_adapter
from edgekit.adaptation.learning.training import Training, train
from edgekit.adaptation.proof import Proof
from edgekit.adaptation.settings import Settings
from edgekit.artifacts.metadata import ModelMeta, tool_versions
from edgekit.artifacts.model_names import proof_of, resolve
from edgekit.files.whole_files import sha256, staged
from edgekit.model.predictors import Generation, Predictors
from edgekit.processes import Processes
from edgekit.progress import Track
from edgekit.runtime.opening import open_session

ROWS_SHARE = 0.5  # of the adapter's scores that are the plain rows', with one photo to learn from
OLD_ROWS_LR = 0.1  # of the new rows' learning rate, in joint scoring: old rows are fine-tuned, not learned


@dataclass(frozen=True)
class Prepared:
    """The features to learn from and of held-out photos, what computed them, and how long it took."""

    learn: list[PhotoFeatures]
    held_out: list[PhotoFeatures]
    runtime: str
    trunk_seconds: float  # to export the trunk, or to find it exported
    feature_seconds: float


@dataclass(frozen=True)
class Job:
    """One adaptation's fixed parts."""

    base: Base
    inputs: Inputs
    settings: Settings
    ranks: Processes
    track: Track

    @property
    def categories(self) -> tuple[str, ...]:
        """All classes by label, the new ones last."""
        return (*self.base.meta.categories, *self.inputs.classes)

    @property
    def new_labels(self) -> dict[str, int]:
        """The new classes' labels."""
        return {name: self.categories.index(name) for name in self.inputs.classes}

    def prepare(self, store: Path, cache_gb: float) -> Prepared:
        """Get the trunk ready and compute the features; the trunk's memory is free again afterwards."""
        began = time.monotonic()

        def open_trunk() -> Trunk:
            return self.base.trunk(self.settings.trunk, store, self.track)

        if self.ranks.count > 1:  # the first exports it, the others find it
            self.ranks.together(lambda: open_trunk() if self.ranks.first else None)
        trunk = open_trunk()
        ready = time.monotonic()
        learn, held_out = self.features(trunk, FeatureCache(store / "features", cache_gb))
        return Prepared(learn, held_out, trunk.runtime, ready - began, time.monotonic() - ready)

    def features(self, trunk: Trunk, cache: FeatureCache) -> tuple[list[PhotoFeatures], list[PhotoFeatures]]:
        """The features of the photos to learn from (those to replay last) and of the held-out ones."""
        labels = {name: label for label, name in reversed(list(enumerate(self.categories))) if label}
        size, held_out = self.base.meta.input_size, self.inputs.held_out
        coder, seed = self.base.heads.box_coder, self.settings.seed
        first_mask = 1 if self.settings.scoring == "joint" else min(self.new_labels.values())

        def made(photos: Any, views: int, what: str) -> list[PhotoFeatures]:
            return extract(
                trunk, coder, photos, labels, size, views, seed, cache, self.ranks, self.track, what, first_mask
            )

        views = self.settings.views_of(len(self.inputs.learn))
        learn = made(self.inputs.learn, views, "computing RoI features")
        learn += made(self.inputs.replay, 1, "features of replayed photos")
        return learn, made(held_out.photos, 1, "features of held-out photos") if held_out else []

    def learn(
        self, photos: list[PhotoFeatures], held_out: list[PhotoFeatures]
    ) -> tuple[Predictors, Generation, Training]:
        """The old predictors (in joint scoring a changed copy), the new rows, and how training went."""
        settings, joint = self.settings, self.settings.scoring == "joint"
        torch.manual_seed(settings.seed)  # here, so that it does not matter what getting the features drew
        complete_rows(self.base.predictors, torch.cat([p.load(0).box for p in photos[:8]]).float())
        predictors = merge(self.base.predictors).requires_grad_(False) if joint else self.base.predictors
        adapter = not joint and settings.epochs > 0 and wants_adapter(settings.train)
        count = len(self.inputs.classes)
        generation = new_generation(predictors, count, settings.init, self.base.meta.categories, adapter)
        if settings.init == "prototype":
            imprint(predictors, generation, photos[: len(self.inputs.learn)], self.inputs.classes)
        if settings.epochs == 0:
            return predictors, generation, Training((), 0)
        scores_train = "cls_score" in trained_layers(settings.train)
        if generation.adapter is not None and not scores_train:
            generation.adapter.blend(generation.cls_score, 1.0)
        generation.requires_grad_(False)
        groups = new_parameters(generation, settings.train)
        objective: Objective
        if joint:
            objective = JointObjective(predictors, generation, settings.protect, self.ranks.count)
            if settings.protect != "frozen":
                groups.append((old_parameters(predictors, settings.train), OLD_ROWS_LR))
        else:
            objective = ExactObjective(predictors, generation)
        whole = Predictors(predictors.box_predictor, predictors.mask_predictor, [*predictors.generations, generation])
        score = scorer(
            whole, self.base.heads, held_out, self.base.meta.input_size, generation.mask_fcn_logits is not None
        )
        training = train(
            nn.ModuleList([predictors, generation]) if joint else generation,
            groups,
            objective,
            photos,
            settings.epochs,
            settings.lr,
            settings.seed,
            self.ranks,
            score if held_out else None,
            self.track,
        )
        if generation.adapter is not None and scores_train:
            # The rows find more of one photo's classes, and too much else of many photos' (docs/log.md).
            generation.adapter.blend(generation.cls_score, ROWS_SHARE / math.sqrt(len(self.inputs.learn)))
        return predictors, generation, training

    def write(
        self,
        base: str | Path,
        output: Path,
        predictors: Predictors,
        generation: Generation,
        max_old_drop: float | None,
        **more: Any,
    ) -> Proof:
        """Write the adapted model and its proof with what ``more`` belongs into it, unless the proof fails."""
        meta = self._meta(base)
        output = output.absolute()
        # The model takes its place first, so that no proof speaks of one that is not there.
        with staged(output, proof_of(output)) as folder:
            made = folder / output.name
            if self.settings.scoring == "joint":
                whole = Predictors(predictors.box_predictor, predictors.mask_predictor, [generation])
                after = self.base.save_joint(made, whole, meta)
            else:
                after = self.base.save_exact(made, generation, meta)
            proof = self._prove(made, after)
            proofs.check(proof, self.settings.scoring, output, max_old_drop)
            text = proofs.report(
                proof,
                format=proofs.FORMAT,
                model=output.name,
                model_sha256=sha256(made),
                base=str(base),
                parent_sha256=meta.parent_sha256,
                input_size=meta.input_size,
                classes=self.inputs.classes,
                objects=self.inputs.objects,
                **more,
                settings=dataclasses.asdict(self.settings),
                versions=dict(meta.versions),
            )
            proof_of(made).write_text(text, encoding="utf-8")
        return proof

    def _prove(self, adapted: Path, trunk_after: str) -> Proof:
        inputs = self.inputs
        before, after = self.base.session(), open_session(adapted)
        held_out = list(inputs.held_out.photos) if inputs.held_out else []
        old = list(inputs.old.photos) if inputs.old else []
        photos = [*held_out, *old, *inputs.learn, *inputs.replay, *inputs.probe]
        retention, pairs = proofs.compare(before, after, photos, len(held_out) + len(old), self.track)
        found = [of_after for _, of_after in pairs[: len(held_out)]]
        return Proof(
            retention=retention,
            runtime=before.runtime,
            trunk_sha256_before=self.base.trunk_sha256,
            trunk_sha256_after=trunk_after,
            old=proofs.old_precision(pairs[len(held_out) :], inputs.old, before.meta) if inputs.old else None,
            new=proofs.new_precision(found, inputs.held_out, inputs.classes, after.meta) if inputs.held_out else None,
            held_out_photos=len(held_out),
        )

    def _meta(self, base: str | Path) -> ModelMeta:
        """The adapted model's metadata."""
        meta, settings = self.base.meta, self.settings
        generations = meta.generations
        if settings.scoring == "exact" and meta.scoring == "joint":
            generations = (meta.categories,)  # one softmax made them one generation
        record = dataclasses.asdict(settings) | {"photos": len(self.inputs.learn), "objects": self.inputs.objects}
        return dataclasses.replace(
            meta,
            generations=(*generations, self.inputs.classes),
            scoring=settings.scoring,
            precision="fp32",
            parent_sha256=sha256(resolve(base)),
            versions=tool_versions(),
            training=dict(meta.training) | {f"generation {len(generations)}": record},
        )
