from __future__ import annotations

import json
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from torchvision.models import get_model_builder, resnet18
from torchvision.models.detection import (
    MaskRCNN_ResNet50_FPN_Weights,
    maskrcnn_resnet50_fpn,
    retinanet_resnet50_fpn,
)
from torchvision.models.detection._utils import overwrite_eps
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops import FrozenBatchNorm2d

from edgekit.artifacts.metadata import BACKGROUND
from edgekit.artifacts.model_names import TORCHVISION, resolve
from edgekit.data.images import SAMPLE_PHOTOS, fit, list_images, read_image
from edgekit.errors import EdgekitError
from edgekit.model.checkpoint import load_model, save_model
from edgekit.model.generations import normalise
from edgekit.model.hints import CheckpointHints
from edgekit.model.recognise import recognise
from edgekit.report.inspect import inspect
from tests.checkpoints import FASTERRCNN, MASKRCNN, SIZE, random_detector, write

PATH = Path("x.pth")


def shapes(name: str, classes: int = 5) -> dict[str, torch.Tensor]:
    """A model's state dict without values."""
    with torch.device("meta"):
        return get_model_builder(name)(weights=None, weights_backbone=None, num_classes=classes).state_dict()


@pytest.mark.parametrize("name", TORCHVISION)
def test_recognises_the_architecture_by_its_tensors(name: str) -> None:
    meta = recognise(shapes(name), PATH)
    assert meta.architecture == name.replace("_320", "")
    assert ("--architecture" in meta.recognised["architecture"]) == ("mobilenet" in name)
    assert recognise(shapes(name), PATH, CheckpointHints(architecture=name)).architecture == name
    assert meta.generations == ((BACKGROUND, "class 1", "class 2", "class 3", "class 4"),)
    assert meta.input_size == (800, 1088)
    meta = recognise(shapes(name), PATH, CheckpointHints(architecture=name))
    assert meta.input_size == ((320, 448) if "320" in name else (800, 1088))


@pytest.mark.parametrize("name", [MASKRCNN, FASTERRCNN])
def test_loads_and_computes_what_torchvision_does(name: str, tmp_path: Path) -> None:
    theirs = random_detector(name)
    module, meta = load_model(write(theirs, tmp_path / "x.pth"), hints=CheckpointHints(architecture=name), size=SIZE)
    assert meta.input_size == SIZE
    assert module.has_masks == (name == MASKRCNN)
    pixels = torch.tensor(fit(read_image(list_images(SAMPLE_PHOTOS)[0]), SIZE).pixels)[None]
    features, (proposals,) = module.trunk(pixels)
    with torch.inference_mode():
        expected = theirs.backbone(normalise(pixels))
    for level, values in expected.items():
        assert torch.equal(features[level], values)
    found = module(pixels)[0]
    assert len(proposals) > 5
    assert len(found["scores"])
    assert found["masks"].shape[1:] == ((28, 28) if name == MASKRCNN else (0, 0))


def frozen_maskrcnn(classes: int, eps: float) -> torch.nn.Module:
    """torchvision's model as it is with pretrained weights."""
    torch.manual_seed(0)
    model = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=classes)
    model.backbone = resnet_fpn_backbone(backbone_name="resnet50", weights=None, norm_layer=FrozenBatchNorm2d)
    for module in model.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.running_var.uniform_(0.5, 1.5)
    overwrite_eps(model, eps)
    return model.eval()


@pytest.mark.parametrize(("classes", "eps"), [(91, 0.0), (4, 1e-5)])
def test_batch_norms_run_with_torchvisions_epsilon(classes: int, eps: float, tmp_path: Path) -> None:
    theirs = frozen_maskrcnn(classes, eps)
    torch.save(theirs.state_dict(), tmp_path / "x.pth")
    module, meta = load_model(tmp_path / "x.pth", size=(64, 64))
    assert meta.settings.norm_eps == eps
    save_model(tmp_path / "x.safetensors", module, meta)
    (tmp_path / "x.pth").unlink()
    module, meta = load_model(tmp_path / "x.safetensors")
    assert meta.settings.norm_eps == eps
    pixels = torch.randint(0, 255, (1, 64, 64, 3), dtype=torch.uint8)
    with torch.inference_mode():
        expected = theirs.backbone(normalise(pixels))
    assert all(torch.equal(v, expected[k]) for k, v in module.trunk(pixels)[0].items())


def test_a_variance_of_zero_keeps_the_epsilon() -> None:
    state = {n: torch.ones(t.shape) for n, t in shapes(MASKRCNN, 91).items() if "num_batches" not in n}
    assert recognise(state, PATH).settings.norm_eps == 0.0
    state["backbone.body.bn1.running_var"][0] = 0
    assert recognise(state, PATH).settings.norm_eps == 1e-5


def test_old_torchvision_names(tmp_path: Path) -> None:
    state = random_detector(MASKRCNN).state_dict()
    old = {n.replace("rpn.head.conv.0.0.", "rpn.head.conv."): t for n, t in state.items()}
    for i in range(4):
        for block in ("inner_blocks", "layer_blocks"):
            old = {n.replace(f"{block}.{i}.0.", f"{block}.{i}."): t for n, t in old.items()}
        old = {n.replace(f"mask_head.{i}.0.", f"mask_head.mask_fcn{i + 1}."): t for n, t in old.items()}
    assert set(old) != set(state)
    torch.save(dict(old), tmp_path / "old.pth")
    module, _ = load_model(tmp_path / "old.pth")
    assert all(torch.equal(t, state[n]) for n, t in module.base.state_dict().items())


def test_coco_names_with_gaps(tmp_path: Path) -> None:
    meta = recognise(shapes(FASTERRCNN, 91), PATH)
    assert len(meta.categories) == 91
    assert (meta.categories[1], meta.categories[12], meta.categories[90]) == ("person", "N/A", "toothbrush")
    assert meta.categories.count("N/A") == 10


@pytest.mark.parametrize(
    "text", ["cat\ndog\ncow\nbird\n", '["cat", "dog", "cow", "bird"]', "__background__\ncat\ndog\ncow\nbird"]
)
def test_base_classes(text: str, tmp_path: Path) -> None:
    (tmp_path / "names").write_text(text)
    meta = recognise(shapes(MASKRCNN), PATH, CheckpointHints(tmp_path / "names"))
    assert meta.generations == ((BACKGROUND, "cat", "dog", "cow", "bird"),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cat\ndog", "names 2 classes, x.pth has 4 and the background"),
        (json.dumps(list("abcde")), "names 5 classes, x.pth has 4"),
        ("a\nb\nb\nc", "names twice: b"),
        ("[broken", "not readable"),
    ],
)
def test_wrong_base_classes(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "names").write_text(text)
    with pytest.raises(EdgekitError, match=message):
        recognise(shapes(MASKRCNN), PATH, CheckpointHints(tmp_path / "names"))


FOUR = (BACKGROUND, "cat", "dog", "cow", "bird")


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffcat\ndog\ncow\nbird",
        "\ufeff0: cat\n1: dog\n2: cow\n3: bird",
        "0: cat\n1: dog\n2: cow\n3: bird\n",
        "1: cat\n2: dog\n3: cow\n4: bird",
        "  0: cat\r\n  1: 'dog'\r\n  2: \"cow\"\r\n  3: bird",
        "3: bird\n1: dog\n0: cat\n2: cow",
        "0: __background__\n1: cat\n2: dog\n3: cow\n4: bird",
        "0 cat\n1 dog\n2 cow\n3 bird",
        "0  background\n1  cat\n2  dog\n3  cow\n4  bird",
        "1\tcat\n2\tdog\n3\tcow\n4\tbird",
        "0,cat\n1,dog\n2,cow\n3,bird",
        '{"0": "cat", "1": "dog", "2": "cow", "3": "bird"}',
    ],
)
def test_class_files_with_ids_or_a_mark(text: str, tmp_path: Path) -> None:
    (tmp_path / "names").write_bytes(text.encode())
    assert recognise(shapes(MASKRCNN), PATH, CheckpointHints(tmp_path / "names")).generations == (FOUR,)


def test_class_files_in_utf_16(tmp_path: Path) -> None:
    (tmp_path / "names").write_text("\n".join(FOUR), encoding="utf-16")
    assert recognise(shapes(MASKRCNN), PATH, CheckpointHints(tmp_path / "names")).generations == (FOUR,)


@pytest.mark.parametrize("names", [["2 euro", "1 euro", "5 cent", "10 cent"], ["7up", "4x4", "3 mm", "0 mm"]])
def test_names_that_begin_with_numbers_stay_whole(names: list[str], tmp_path: Path) -> None:
    (tmp_path / "names").write_text("\n".join(names))
    meta = recognise(shapes(MASKRCNN), PATH, CheckpointHints(tmp_path / "names"))
    assert list(meta.categories[1:]) == names


def test_ids_with_gaps_are_unused_labels(tmp_path: Path) -> None:
    names = MaskRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    used = {i: n for i, n in enumerate(names) if n != "N/A" and i}
    (tmp_path / "names").write_text("\n".join(f"{i}: {n}" for i, n in used.items()))
    meta = recognise(shapes(FASTERRCNN, 91), PATH, CheckpointHints(tmp_path / "names"))
    assert list(meta.categories[1:]) == names[1:]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 cat\n2 dog\n3 cow\n4 bird", r"ids, or parts of the names\? \(write ids as 1: cat"),
        ("0: cat\n1: dog\n1: cow\n2: bird", "id 1 has two names"),
        ("0: cat\n1: \n2: cow\n3: bird", "id 1 has no name"),
        ("5: cat\n6: dog\n7: cow\n8: bird", "its ids begin with 5"),
        ("0: cat\n999999999: bird", "2 names with ids up to 999999999"),
        ("cat\nCat\ncow\nbird", "'cat' and 'Cat' differ only by case"),
        ("cat\nco  w\nco w\nbird", "differ only by blanks"),
        ("k\xe4fer", "not UTF-8"),
    ],
)
def test_class_files_that_are_ambiguous_or_wrong(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "names").write_bytes(text.encode("latin-1"))
    with pytest.raises(EdgekitError, match=message):
        recognise(shapes(MASKRCNN), PATH, CheckpointHints(tmp_path / "names"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("anchor_sizes: 5", "anchor_sizes: 5 is not a list"),
        ("anchor_sizes: [[a]]\nanchor_ratios: [[1]]", "anchor_sizes: .* is not a list"),
        ("anchor_ratios: [[1], [1]]", "anchor_ratios: has 2 levels, the FPN has 3"),
        ("extra_level: 3", "extra_level: 3 is not str"),
        ("mean: [124, 116, 104]", "mean .*not in 0..255"),
        ("anchor_size: [[1]]", "anchor_size: is not a setting; there is anchor_sizes"),
        ("body: resnet", "body resnet: the weights have mobilenet_v3_large"),
        ("levels: [a, b]", "levels .*: the weights have"),
        ("fpn_channels: 8", "fpn_channels 8: the weights have 256"),
        ("masks: true", "masks True: the weights have False"),
        ("roi_levels: []", "roi_levels"),
        ("roi_sampling: -1", "roi_sampling -1"),
        ("norm_eps: -1", "norm_eps -1"),
        ("mask_bins: 0", "mask_bins 0"),
        ("box_weights: [0, 1, 1, 1]", "box_weights"),
    ],
)
def test_settings_that_cannot_be(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(text)
    with pytest.raises(EdgekitError, match=rf"own.yaml: {said}"):
        recognise(shapes(FASTERRCNN), PATH, CheckpointHints(settings=file))


def test_strangers_are_named() -> None:
    with torch.device("meta"):
        retinanet = retinanet_resnet50_fpn(weights=None, weights_backbone=None).state_dict()
        classifier = resnet18(weights=None).state_dict()
    one = torch.zeros(1)
    for state, message in (
        (retinanet, "RetinaNet"),
        (classifier, "image classifier"),
        ({"transformer.encoder.layers.0.norm1.weight": one}, "DETR"),
        ({"0.conv.weight": one, "22.cv2.0.0.conv.weight": one}, "YOLO"),
        ({"something": one}, "not an R-CNN"),
    ):
        with pytest.raises(EdgekitError, match=message):
            recognise(state, PATH)


def test_what_stands_beside_the_detector(tmp_path: Path) -> None:
    state = dict(random_detector(FASTERRCNN).state_dict())
    torch.save({**state, "class_weights": torch.ones(3), "steps": torch.tensor(7)}, tmp_path / "x.pth")
    module, meta = load_model(tmp_path / "x.pth")
    assert module.base.state_dict().keys() == state.keys()
    assert "left out: class_weights, steps" in meta.recognised["weights"]


def test_weights_of_whole_numbers_are_named(tmp_path: Path) -> None:
    name = "rpn.head.bbox_pred.weight"
    state = {**random_detector(FASTERRCNN).state_dict(), name: torch.zeros(60, 256, 1, 1, dtype=torch.int8)}
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(EdgekitError, match=rf"{name}: has the type torch.int8"):
        load_model(tmp_path / "x.pth")


def test_other_r_cnns_and_other_frameworks_configs(tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match=r"roi_heads\.keypoint_head.*Keypoint R-CNN"):
        recognise(shapes("keypointrcnn_resnet50_fpn", 2), PATH)
    (tmp_path / "config.yaml").write_text("VERSION: 2\nMODEL: {}\n")
    with pytest.raises(EdgekitError, match=r"config\.yaml: is Detectron2's config"):
        recognise(shapes(FASTERRCNN), PATH, CheckpointHints(settings=tmp_path / "config.yaml"))


def test_predictors_that_disagree() -> None:
    state = shapes(MASKRCNN) | {"roi_heads.mask_predictor.mask_fcn_logits.weight": torch.zeros(91, 256, 1, 1)}
    with pytest.raises(EdgekitError, match=r"cls_score.weight \[5, 1024\].*mask_fcn_logits.weight \[91, 256, 1, 1\]"):
        recognise(state, PATH)


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    state = dict(random_detector(FASTERRCNN).state_dict())
    del state["rpn.head.bbox_pred.bias"]
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(EdgekitError, match=r"do not fit.*rpn\.head\.bbox_pred\.bias"):
        load_model(tmp_path / "x.pth")


def test_options_that_edgekits_own_file_answers() -> None:
    with pytest.raises(EdgekitError, match="describes itself"):
        load_model("demo", hints=CheckpointHints(architecture=MASKRCNN))
    with pytest.raises(EdgekitError, match="unknown"):
        recognise(shapes(MASKRCNN), PATH, CheckpointHints(architecture="maskrcnn"))


def test_inspect_says_what_was_recognised(tmp_path: Path) -> None:
    result = inspect(write(random_detector(FASTERRCNN), tmp_path / "x.pth"))
    assert result.meta.architecture == "fasterrcnn_mobilenet_v3_large_fpn"
    assert "--architecture" in result.details["architecture recognised"]
    assert "made up" in result.details["class names recognised"]
    assert result.meta.settings.norm_eps == 1e-5
    assert "norm_eps" in result.meta.settings.assumed()
    assert result.parameters > 1e7


def test_torchvisions_name_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise URLError("no route")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(EdgekitError, match=r"https://download\.pytorch\.org/.*no route") as caught:
        resolve(MASKRCNN)
    expected = tmp_path / "checkpoints" / "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth"
    assert caught.value.hint == f"put that file at {expected}"
    expected.parent.mkdir(exist_ok=True)
    torch.save(random_detector(MASKRCNN).state_dict(), expected)
    assert resolve(MASKRCNN) == expected
    assert load_model(MASKRCNN)[1].recognised["architecture"] == "as given"
