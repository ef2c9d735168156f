from __future__ import annotations

import dataclasses
import json
import threading
from pathlib import Path

import pytest
import torch

from edgekit.artifacts.metadata import METADATA_KEY
from edgekit.artifacts.model_names import resolve
from edgekit.artifacts.safetensors_files import read_safetensors, write_with_metadata
from edgekit.demo.scenes import render_scene
from edgekit.errors import EdgekitError
from edgekit.model.architectures import SMALL, build_detector, freeze_norms
from edgekit.model.checkpoint import load_model, save_model
from edgekit.model.generations import GenerationalRCNN
from edgekit.model.predictors import Generation


def canvas(index: int) -> torch.Tensor:
    return torch.from_numpy(render_scene("mixed-test", index).image)[None]


def test_base_model_equals_torchvision_to_the_last_bit() -> None:
    module, _ = load_model("demo")
    for index in range(3):
        pixels = canvas(index)
        ours = module(pixels)[0]
        with torch.inference_mode():
            theirs = module.base([pixels[0].permute(2, 0, 1).float() / 255])[0]
        for key in ("boxes", "labels", "scores"):
            assert torch.equal(ours[key], theirs[key])


def test_later_generations_change_nothing_earlier() -> None:
    module, _ = load_model("demo")
    torch.manual_seed(0)
    pixels = [canvas(i) for i in range(3)]
    before = [module(p)[0] for p in pixels]
    added = [Generation(classes, 512, module.predictors.mask_channels).eval() for classes in (2, 1, 3)]
    for generation in added:
        torch.nn.init.normal_(generation.cls_score.weight, std=0.5)
    grown = GenerationalRCNN(module.base, added)
    found_new = 0
    for pixel, old in zip(pixels, before, strict=True):
        after = grown(pixel)[0]
        kept = after["labels"] < 13
        found_new += int((~kept).sum())
        assert after["labels"].max() <= 18
        for key, value in old.items():
            assert torch.equal(after[key][kept], value), key
    assert found_new, "the random rows found nothing: the test shows nothing"


def test_new_classes_get_the_probability_of_a_softmax_over_all() -> None:
    base, _ = load_model("demo")
    module = GenerationalRCNN(base.base, [Generation(2, 512, base.predictors.mask_channels)])
    module.heads.score_thresh, module.heads.nms_thresh, module.heads.detections_per_img = 0.0, 1.1, 10_000
    pixels = canvas(0)
    found = module(pixels)[0]
    with torch.inference_mode():
        features, proposals = module.trunk(pixels)
        logits = module.predictors.logits(module.box_features(features, proposals, (320, 320)))
    expected = torch.softmax(logits, dim=1)[:, 13:].flatten().sort().values
    found_scores = found["scores"][found["labels"] >= 13].sort().values
    assert len(found_scores) > 50
    assert torch.allclose(found_scores, expected[-len(found_scores) :], atol=1e-6)


def test_checkpoint_keeps_generations_and_loads_in_torchvision(tmp_path: Path) -> None:
    base, meta = load_model("demo")
    module = GenerationalRCNN(base.base, [Generation(2, 512, base.predictors.mask_channels)])
    path = tmp_path / "two.safetensors"
    save_model(path, module, meta.with_generation(("chicken", "frog")))
    loaded, loaded_meta = load_model(path)
    assert loaded_meta.new_classes == ("chicken", "frog")
    assert (loaded_meta.parents, loaded.predictors.parents) == (((),), ((),))
    for name, value in module.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name

    from safetensors.torch import load_file

    freeze_norms(build_detector(SMALL, 15)).load_state_dict(load_file(path), strict=True)


def test_several_generations_that_name_no_parents_are_refused(tmp_path: Path) -> None:
    """edgekit 0.1 wrote such files, whose second generation was scored against the first."""
    tensors, meta = read_safetensors(resolve("demo"))
    about = json.loads(meta.with_generation(("chicken",)).with_generation(("frog",)).to_json())
    del about["parents"]
    path = tmp_path / "old.safetensors"
    write_with_metadata(path, tensors, {METADATA_KEY: json.dumps(about)})
    with pytest.raises(EdgekitError, match=r"old.safetensors: was adapted by an edgekit before packs") as raised:
        load_model(path)
    assert raised.value.hint == "adapt its base model again"


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    module, meta = load_model("demo")
    path = tmp_path / "wrong.safetensors"
    save_model(path, module, dataclasses.replace(meta, generations=(("__background__", "dog"),)))
    with pytest.raises(EdgekitError, match="do not fit"):
        load_model(path)


def test_float32_is_not_tf32_in_any_part_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    module, _ = load_model("demo")
    ran: list[bool] = []
    for part in (module.base.backbone, module.base.rpn.head, module.heads.box_head, module.heads.mask_head):
        part.register_forward_hook(lambda *_: ran.append(torch.backends.cudnn.allow_tf32))
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    module(canvas(0))
    assert ran == [False] * 4
    assert torch.backends.cudnn.allow_tf32, "of the rest of the program"


def test_float32_stays_full_while_another_thread_leaves_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second thread is still in the model when the first, which met the program's own setting, leaves it."""
    module, _ = load_model("demo")
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    pixels, ran = canvas(0), []
    first_inside, second_inside, first_left = (threading.Event() for _ in range(3))

    def wait(*_: object) -> None:
        is_first = threading.current_thread() is first
        (first_inside if is_first else second_inside).set()
        assert (second_inside if is_first else first_left).wait(60)
        ran.append(torch.backends.cudnn.allow_tf32)

    def run_first() -> None:
        module.trunk(pixels)
        first_left.set()

    module.base.rpn.register_forward_hook(wait)
    first = threading.Thread(target=run_first)
    first.start()
    assert first_inside.wait(60)
    module.trunk(pixels)
    first.join()
    assert ran == [False] * 2
    assert torch.backends.cudnn.allow_tf32, "of the rest of the program"
