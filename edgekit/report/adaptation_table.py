"""What an adaptation did, as a table for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from edgekit.report.sheets import facts
from edgekit.report.tables import ap_text, assumed_text, counted

if TYPE_CHECKING:
    from edgekit.adaptation.adapt import Adaptation
    from edgekit.adaptation.before_and_after import RefinedClass
    from edgekit.adaptation.proof import Proof

NOT_MEASURED = "not measured: hold photos out with --val FILE or --val 20%"


def adaptation_table(result: Adaptation) -> Table:
    """What was added, what it cost, what became of the earlier classes."""
    recognised = result.recognised.get("architecture", "as its file says")
    names = f", names: {result.recognised['class names']}" if "class names" in result.recognised else ""
    added = [name for name in result.classes if name not in result.refined]
    objects = ", ".join(f"{n} {c}" for c, n in result.objects.items())
    trunk = f"trunk {result.trunk_seconds} ({result.trunk}), features {result.feature_seconds}"
    rows: list[tuple[str, str | None]] = [
        ("base model", f"{result.architecture} ({recognised}), {result.old_classes} classes{names}"),
        ("assumed", assumed_text(result.assumed)),
        ("classes added", ", ".join(added) or None),
        ("classes refined", ", ".join(result.refined) or None),
        ("learned from", f"{objects} in {result.photos} photos"),
        ("proposed by the RPN", ", ".join(f"{result.proposed[c]} of {n} {c}" for c, n in result.objects.items())),
        ("masks made from boxes", _made_masks_text(result)),
        ("seconds", f"{trunk}, training {result.training_seconds}, proof {result.proof_seconds}"),
    ]
    epochs = result.training.epochs
    if epochs:
        best = epochs[result.training.best_epoch - 1]
        losses = f"class {best.classification:.4f}, box {best.box:.4f}, mask {best.mask:.4f}"
        rows.append(("epoch kept", f"{best.epoch} of {len(epochs)}; losses: {losses}"))
    proof, kept = result.proof, result.proof.retention
    rows.append(("old detections changed", f"{kept.changed} of {kept.compared} on {kept.images} photos"))
    if kept.changed:
        differences = f"score {kept.largest_score_difference:.2g}, box {kept.largest_box_difference:.2g} pixels"
        rows.append(("found by one model only", f"{kept.lost} by the base, {kept.added} by the adapted model"))
        rows.append(("largest differences", differences))
    same = proof.trunk_sha256_before == proof.trunk_sha256_after
    rows.append(("trunk's weights", "unchanged" if same else "CHANGED"))
    if proof.old is not None:
        change = f"{ap_text(proof.old.before)} before, {ap_text(proof.old.after)} after"
        rows.append(("old classes' AP", f"{change}, on {proof.old.photos} photos"))
    new = NOT_MEASURED if proof.new is None else f"{ap_text(proof.new)} on {proof.held_out_photos} held-out photos"
    rows.append(("new classes' AP", new if added else None))
    rows += [(f"AP of {refined.name}", _refined_text(refined)) for refined in proof.refined]
    rows.append(("hidden by --overlaps one", _hidden_text(proof)))
    rows += [("advice", message) for message in result.advice]
    rows.append(("repaired", ", ".join(f"{count} x {kind}" for kind, count in result.repaired.items()) or None))
    rows.append(("left out", counted(len(result.skipped), "photo or object") if result.skipped else None))
    return facts(f"adapted {result.architecture}, {result.settings['scoring']} scoring", rows)


def _made_masks_text(result: Adaptation) -> str | None:
    """For how many of the objects without masks these were made; None where all have masks."""
    return ", ".join(f"{m.made} of {m.boxes_only} {c}" for c, m in result.made_masks.items()) or None


def _refined_text(refined: RefinedClass) -> str:
    """What became of a refined class: before and after, on photos that were not learned from."""
    parts = {"held-out": refined.held_out, "old": refined.old}
    changes = [
        f"{ap_text(part.before)} before, {ap_text(part.after)} after, on {counted(part.photos, f'{which} photo')}"
        for which, part in parts.items()
        if part is not None
    ]
    if not changes:
        return NOT_MEASURED
    replaced = f"{refined.replaced} of {counted(refined.detections, 'detection')} replaced"
    return "; ".join([*changes, replaced])


def _hidden_text(proof: Proof) -> str | None:
    """How many old detections one label per object hides; None where there was no photo to count them on."""
    parts = {"with new objects": proof.hidden_with_new, "without new objects": proof.hidden_without_new}
    counts = [
        f"{part.hidden} of {counted(part.detections, 'old detection')} on "
        f"{counted(part.photos_not_learned_from, 'photo')} {which}"
        for which, part in parts.items()
        if part.photos_not_learned_from
    ]
    return ", ".join(counts) or None
