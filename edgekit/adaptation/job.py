"""One adaptation's steps: features, learning, writing the model with its proof."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgekit.adaptation.bases import Adaptable, PartsBase, first_mask_layer, open_base
from edgekit.adaptation.features.extraction import Extractor, PhotoFeatures, extract
from edgekit.adaptation.features.feature_cache import FeatureCache, FeatureStore
from edgekit.adaptation.features.frozen_trunk import Trunk
from edgekit.adaptation.inputs import Inputs
from edgekit.adaptation.learning.held_out import scorer
from edgekit.adaptation.learning.initialise import imprint, new_generation
from edgekit.adaptation.learning.joint import merge
from edgekit.adaptation.learning.learning_options import Learning
from edgekit.adaptation.learning.objectives import ExactObjective, JointObjective, Objective
from edgekit.adaptation.learning.old_rows import complete_rows
from edgekit.adaptation.learning.strategies import new_parameters, old_parameters, trained_layers
from edgekit.adaptation.learning.training import Training, train
from edgekit.adaptation.made_masks import inputs_with_masks
from edgekit.adaptation.proof import FORMAT, Proof, check_proof, prove
from edgekit.artifacts.metadata import ModelMeta, tool_versions
from edgekit.artifacts.model_names import proof_of
from edgekit.artifacts.pack_files import Pack, Parent, is_pack, read_pack, write_pack
from edgekit.files.whole_files import staged
from edgekit.model.packs import tensors_of
from edgekit.model.predictors import Generation, Predictors
from edgekit.processes import Processes
from edgekit.progress import Track

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

    base: Adaptable
    inputs: Inputs
    learning: Learning
    ranks: Processes
    track: Track

    @property
    def new_labels(self) -> dict[str, int]:
        """The new classes' labels, which follow the old ones'."""
        return {name: label for label, name in enumerate(self.inputs.classes, start=len(self.base.meta.categories))}

    @property
    def labels(self) -> dict[str, int]:
        """The labels of all classes, the new ones' among them."""
        old = {name: label for label, name in reversed(list(enumerate(self.base.meta.categories))) if label}
        return old | self.new_labels

    @property
    def first_mask(self) -> int:
        """The first label whose masks are learned."""
        return 1 if self.learning.joint else len(self.base.meta.categories)

    def prepare(self, store: FeatureStore) -> tuple[Job, Prepared]:
        """Get the trunk ready, make masks where objects have only boxes, and compute the features.

        Returns the job with these masks. The trunk's memory is free again afterwards.
        """
        began = time.monotonic()

        def open_trunk() -> Trunk:
            return self.base.trunk(self.learning.trunk, store.folder, self.track)

        if self.ranks.count > 1:  # the first exports it, the others find it
            self.ranks.together(lambda: open_trunk() if self.ranks.first else None)
        trunk = open_trunk()
        ready, cache = time.monotonic(), store.features()
        classes = [name for name, label in self.labels.items() if label >= self.first_mask]
        inputs = inputs_with_masks(self.base, self.inputs, classes, self.learning, trunk, cache, self.ranks, self.track)
        job = dataclasses.replace(self, inputs=inputs)
        learn, held_out = job.features(trunk, cache)
        return job, Prepared(learn, held_out, trunk.runtime, ready - began, time.monotonic() - ready)

    def features(self, trunk: Trunk, cache: FeatureCache) -> tuple[list[PhotoFeatures], list[PhotoFeatures]]:
        """The features of the photos to learn from (those to replay last) and of the held-out ones."""
        size, coder = self.base.meta.input_size, self.base.heads.box_coder
        by = Extractor(trunk, coder, self.labels, size, self.learning.seed, self.first_mask)
        made = partial(extract, by=by, cache=cache, ranks=self.ranks, track=self.track)
        inputs, views = self.inputs, self.learning.views_per_photo(len(self.inputs.learn))
        learn = made(inputs.learn, views) + made(inputs.replay, 1, what="features of replayed photos")
        return learn, made(inputs.held_out.photos, 1, what="features of held-out photos")

    def learn(
        self, photos: list[PhotoFeatures], held_out: list[PhotoFeatures]
    ) -> tuple[Predictors, Generation, Training]:
        """The old predictors (in joint scoring a changed copy), the new rows, and how training went."""
        learning, base = self.learning, self.base
        torch.manual_seed(learning.seed)  # here, so that it does not matter what getting the features drew
        complete_rows(base.predictors, torch.cat([p.load(0).box for p in photos[:8]]).float())
        predictors = merge(base.predictors).requires_grad_(False) if learning.joint else base.predictors
        layers = trained_layers(learning.train)
        adapter = not learning.joint and learning.epochs > 0 and "conv5_mask" in layers  # hidden layers of its own
        old, classes = base.meta.categories, self.inputs.classes
        refined = {name: [label for label, n in enumerate(old) if n == name] for name in self.inputs.refined}
        starts = {place: refined[name][-1] for place, name in enumerate(classes) if name in refined}
        generation = new_generation(predictors, len(classes), learning.init, old, adapter, starts)
        if learning.init == "prototype":
            imprint(predictors, generation, photos[: len(self.inputs.learn)], classes)
        if learning.epochs == 0:
            return predictors, generation, Training((), 0)
        scores_train = "cls_score" in layers
        if generation.adapter is not None and not scores_train:
            generation.adapter.blend(generation.cls_score, 1.0)
        generation.requires_grad_(False)
        groups = new_parameters(generation, learning.train)
        own = [label for labels in refined.values() for label in labels]
        objective: Objective = ExactObjective(predictors, generation, own)
        if learning.joint:
            objective = JointObjective(predictors, generation, learning.protect, self.ranks.count)
            if learning.protect != "frozen":
                groups.append((old_parameters(predictors, learning.train), OLD_ROWS_LR))
        whole = predictors.grown(generation)
        masks_train = generation.mask_fcn_logits is not None
        score_held_out = scorer(whole, base.heads, held_out, base.meta.input_size, masks_train) if held_out else None
        trained = nn.ModuleList([predictors, generation]) if learning.joint else generation
        training = train(trained, groups, objective, photos, learning, self.ranks, score_held_out, self.track)
        if generation.adapter is not None and scores_train:
            # The rows find more of one photo's classes, and too much else of many photos' (docs/log.md).
            generation.adapter.blend(generation.cls_score, ROWS_SHARE / math.sqrt(len(self.inputs.learn)))
        return predictors, generation, training

    def write(
        self,
        output: Path,
        predictors: Predictors,
        generation: Generation,
        max_old_drop: float | None,
        about: dict[str, Any],
    ) -> Proof:
        """Write the pack or the whole model with its proof, which says ``about`` too, unless the proof fails."""
        output = output.absolute()
        facts = {
            "format": FORMAT,
            "model": output.name,
            "parent_sha256": self.base.sha256,
            "input_size": self.base.meta.input_size,
            "classes": self.inputs.classes,
            "objects": self.inputs.objects,
            "made_masks": self._made_masks(),
            "settings": dataclasses.asdict(self.learning),
            "versions": tool_versions(),
            **about,
        }
        if is_pack(output):
            with staged(output) as folder:
                made = folder / output.name
                write_pack(made, self._pack(output.stem, generation))
                pack = read_pack(made)
                written = self.base.with_pack(pack)
                proof = self._prove(written, output, max_old_drop)
                facts |= {"model_sha256": pack.sha256, **dataclasses.asdict(proof)}
                write_pack(made, dataclasses.replace(pack, proof=facts))
            return proof
        # The model takes its place first, so that no proof speaks of one that is not there.
        with staged(output, proof_of(output)) as folder:
            made = folder / output.name
            assert not isinstance(self.base, PartsBase)  # packs are all that is written for one
            self.base.save(made, predictors, generation, self._meta())
            written = open_base(made)
            proof = self._prove(written, output, max_old_drop)
            facts |= {"model_sha256": written.sha256, **dataclasses.asdict(proof)}
            proof_of(made).write_text(json.dumps(facts, indent=2, default=str) + "\n", encoding="utf-8")
        return proof

    def _prove(self, written: Adaptable, output: Path, max_old_drop: float | None) -> Proof:
        """Run the base and what was written, as it was read back; raises EdgekitError if the proof fails."""
        proof = prove(self.base, written, self.inputs, self.track)
        check_proof(proof, self.learning.scoring, output, max_old_drop)
        return proof

    def _meta(self) -> ModelMeta:
        """The metadata of the base model with the new classes built in."""
        old, learning = self.base.meta, self.learning
        grown = (old if learning.joint else old.as_base()).with_generation(self.inputs.classes)
        return dataclasses.replace(
            grown,
            scoring=learning.scoring,
            precision="fp32",
            packs=(),
            parent_sha256=self.base.sha256,
            versions=tool_versions(),
            training=dict(old.training) | {f"generation {len(grown.generations) - 1}": self._record()},
        )

    def _record(self) -> dict[str, Any]:
        photos = {"photos": len(self.inputs.learn), "objects": self.inputs.objects, "made_masks": self._made_masks()}
        return dataclasses.asdict(self.learning) | photos

    def _made_masks(self) -> dict[str, Any]:
        return {name: dataclasses.asdict(made) for name, made in self.inputs.made_masks.items()}

    def _pack(self, name: str, generation: Generation) -> Pack:
        """What was learned, as a pack for the base model and its packs."""
        meta = self.base.meta
        return Pack(
            name=name,
            classes=self.inputs.classes,
            base=meta.fingerprint,
            tensors=tensors_of(generation, first_mask_layer(self.base.predictors)),
            input_size=meta.input_size,
            refines=self.inputs.refined,
            architecture=meta.architecture,
            precision=meta.precision,
            parents=tuple(Parent(record.name, record.sha256) for record in meta.packs),
            training=self._record(),
            versions=tool_versions(),
        )
