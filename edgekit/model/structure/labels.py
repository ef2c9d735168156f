"""Names of detectors in the manner of torchvision's builders."""

from __future__ import annotations

from edgekit.artifacts.detector_settings import RESNET, DetectorSettings

# The blocks of each stage of a ResNet, and whether they are bottlenecks, by depth.
DEPTHS: dict[int, tuple[tuple[int, ...], bool]] = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
    152: ((3, 8, 36, 3), True),
}
FIRST_STAGE, USUAL_WIDTH = 256, 64  # of a ResNet's bottlenecks: what comes out, and of the 3x3 convolutions


def label(settings: DetectorSettings) -> str:
    """A name such as torchvision's, e.g. ``maskrcnn_resnext101_32x8d_fpn``."""
    detector = "maskrcnn" if settings.masks else "fasterrcnn"
    version = "_v2" if settings.fpn_norms and settings.box_convs else ""
    return f"{detector}_{_body_label(settings)}_fpn{version}"


def _body_label(settings: DetectorSettings) -> str:
    if settings.body != RESNET:
        return settings.body
    built = (settings.blocks, settings.bottleneck)
    depth = next((str(depth) for depth, known in DEPTHS.items() if known == built), None)
    name = depth or "".join(f"_{count}" for count in settings.blocks)
    width = settings.block_channels[0] / settings.groups
    if settings.groups > 1:
        return f"resnext{name}_{settings.groups}x{width:g}d"
    if settings.stage_channels[0] == FIRST_STAGE and width > USUAL_WIDTH:
        return f"wide_resnet{name}_{width / USUAL_WIDTH:g}"
    return f"resnet{name}"
