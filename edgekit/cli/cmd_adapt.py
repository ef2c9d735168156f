"""``edgekit adapt``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgekit.cli import shared_options as shared
from edgekit.cli.console import say, show, suggest, track
from edgekit.cli.shared_options import FILE, Names, Size


@click.command("adapt")
@click.argument("base")
@shared.data_option
@click.option("--images", type=FILE, required=True, help="Folder of the photos.")
@click.option("-o", "--output", type=FILE, required=True, help="Pack to write (.pack), or the whole model.")
@click.option("--classes", type=Names(), default=(), help="Classes to add.  [default: all annotated]")
@click.option("--improve", type=Names(), default=(), help="Classes of the base model to teach it more of.")
@click.option("--scoring", default="exact", show_default=True, help="exact: old detections stay as they are; joint.")
@click.option("--train", default="predictors", show_default=True, help="predictors, mask or last:K layers of each.")
@click.option(
    "--init", default="mean", show_default=True, help="Initial class weights: mean, random, prototype or an old CLASS."
)
@click.option("--epochs", default=60, show_default=True, help="Passes over the photos; 0 with prototypes is instant.")
@click.option("--lr", default=3e-3, show_default=True, help="Peak learning rate of the new class weights.")
@click.option(
    "--protect", default="l2", show_default=True, help="Old class weights in joint scoring: l2, distill, frozen, none."
)
@click.option(
    "--masks-from-boxes",
    default="auto",
    show_default=True,
    help="Objects without masks: auto makes those that can be trusted, base all, none refuses.",
)
@click.option("--replay", type=FILE, default=None, help="Annotated old data to learn from too.")
@shared.val_option
@click.option("--probe", type=FILE, default=None, help="Folder of photos to compare old detections on too.")
@click.option("--old-data", type=FILE, default=None, help="Annotated old data to measure the old AP on.")
@click.option("--max-old-drop", type=float, default=None, help="Fail if the old AP falls by more (in AP points).")
@shared.pack_option
@shared.base_classes_option
@shared.architecture_option
@shared.settings_option
@click.option("--size", type=Size(), default=None, help="Input height and width.  [default: what suits the photos]")
@click.option("--trunk", default="onnx", show_default=True, help="What runs the frozen trunk: onnx, tensorrt or torch.")
@click.option("--views", type=int, default=None, help="Views per photo.  [default: 3, up to 36 with few photos]")
@shared.cache_option
@shared.cache_gb_option
@click.option("--seed", default=0, show_default=True, help="Seed of views, split and shuffling.")
@shared.skip_option
@shared.skip_annotations_option
@shared.crowd_option
@shared.force_option
@shared.json_option
def adapt_command(as_json: bool, **options: Any) -> None:
    """Add the classes annotated in a few photos; the old classes' detections stay as they were."""
    from edgekit.adaptation.adapt import ExtraData, FeatureStore, Learning, adapt
    from edgekit.artifacts.manifest import is_parts
    from edgekit.artifacts.pack_files import is_pack
    from edgekit.data.annotations.faults import ReadingOptions
    from edgekit.model.hints import CheckpointHints
    from edgekit.processes import launched
    from edgekit.report.adaptation_table import adaptation_table

    base = options["base"]
    kinds = {"learning": Learning, "extra": ExtraData, "hints": CheckpointHints, "store": FeatureStore}
    kinds |= {"reading": ReadingOptions}
    records: dict[str, Any] = {name: shared.record(kind, options) for name, kind in kinds.items()}
    result = adapt(**options, **records, track=track, say=say)
    if not launched().first:  # one report per launch
        return
    show(result, as_json, [adaptation_table(result)] if not as_json else [])
    output = result.output
    if is_pack(output) and is_parts(Path(base)):
        suggest(as_json, f"edgekit install {output} {base}")
    elif is_pack(output):
        suggest(as_json, f"edgekit predict {base} --pack {output} PHOTO")
    elif output.suffix == ".onnx":
        suggest(as_json, f"edgekit bench {base} {output}")
    else:
        suggest(as_json, f"edgekit export {output} -o {output.with_suffix('.onnx')}")
