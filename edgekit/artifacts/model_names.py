"""Names of models, the files they stand for, and the kinds of model files."""

from __future__ import annotations

import sys
from pathlib import Path

from edgekit.artifacts.manifest import is_parts
from edgekit.errors import EdgekitError
from edgekit.files.reading import refuse_special

EMBEDDED = {"demo": Path(__file__).parents[1] / "assets" / "maskrcnn_mobilenet_v2_fpn.safetensors"}
# torchvision's names of models whose weights it has: downloaded into its own cache on first use.
TORCHVISION = (
    "maskrcnn_resnet50_fpn",
    "maskrcnn_resnet50_fpn_v2",
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_resnet50_fpn_v2",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
)
KINDS = {
    ".safetensors": "checkpoint",
    ".pt": "checkpoint",
    ".pth": "checkpoint",
    ".ckpt": "checkpoint",  # Lightning
    ".bin": "checkpoint",  # accelerate
    ".pkl": "checkpoint",  # Detectron2's zoo
    ".onnx": "onnx",
    ".engine": "engine",  # see runtime/engine_file.py
}


def resolve(model: str | Path) -> Path:
    """The file a model argument means: the name of an embedded or of torchvision's model, or a path.

    torchvision's weights are downloaded if they are not in its cache yet. Raises if there is no such file.
    """
    if str(model) in TORCHVISION:
        return _torchvision_weights(str(model))
    path = EMBEDDED.get(str(model), Path(model))
    if not path.exists():
        known = ", ".join((*EMBEDDED, *TORCHVISION))
        raise EdgekitError(f"{model}: no such file", f"give a model file or a model's name: {known}")
    if is_parts(path):
        return path
    if path.is_dir():
        raise EdgekitError(f"{model}: is a folder, not a model file", f"give one of: {', '.join(KINDS)}")
    refuse_special(path)
    return path


def _torchvision_weights(name: str) -> Path:
    """The file of torchvision's default weights in its cache, downloaded if it is not there."""
    import torch
    from torchvision.models import get_model_weights

    url = get_model_weights(name)["DEFAULT"].url
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]
    if not path.exists():
        expected = path.stem.rsplit("-", 1)[1]  # torchvision's file names end in the first digits of their SHA-256
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), expected, progress=sys.stderr.isatty())
        except (OSError, RuntimeError) as error:  # no network, a full disk, a wrong checksum
            raise EdgekitError(f"{name}: {url} cannot be downloaded: {error}", f"put that file at {path}") from None
    return path


def proof_of(model: Path) -> Path:
    """Where the proof of an adapted model is."""
    return model.with_suffix(".retention.json")


def kind_of(path: Path) -> str:
    """``checkpoint``, ``onnx`` or ``engine``, by the file's suffix; ``parts`` for the folder of a model in parts."""
    if path.is_dir():
        return "parts"
    if path.suffix.lower() not in KINDS:
        raise EdgekitError(f"{path}: not a kind of model edgekit reads", f"give one of: {', '.join(KINDS)}")
    return KINDS[path.suffix.lower()]
