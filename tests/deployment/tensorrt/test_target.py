from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from edgekit.deployment.tensorrt import target as targets
from edgekit.deployment.tensorrt.target import choose_target
from edgekit.errors import EdgekitError
from edgekit.runtime.flavours import TensorRT, load
from edgekit.runtime.gpu import NoGpu
from tests.deployment.tensorrt.versions import A10, ORIN, tensorrt

pytest.importorskip("tensorrt_rtx", reason="needs edgekit[rtx]")
NOTHING = NoGpu("no NVIDIA GPU or driver", "run this on the device")


def having(*flavours: str) -> Callable[[str], TensorRT]:
    """``load`` on a machine with these flavours."""

    def found(flavour: str) -> TensorRT:
        if flavour not in flavours:
            raise EdgekitError(f"{flavour} is not installed", f"install {flavour}")
        return tensorrt("10.3.0") if flavour == "tensorrt" else load("rtx")

    return found


@pytest.mark.parametrize(
    ("installed", "asked", "gpu", "flavour", "built_for"),
    [
        (("tensorrt", "rtx"), (), A10, "tensorrt", ("8.6",)),
        (("rtx",), (), A10, "rtx", ("8.6",)),
        (("tensorrt", "rtx"), ("8.6",), A10, "tensorrt", ("8.6",)),  # the GPU that is here
        (("tensorrt", "rtx"), ("12.0",), A10, "rtx", ("12.0",)),
        (("rtx",), ("8.6", "8.9", "8.6"), NOTHING, "rtx", ("8.6", "8.9")),
        (("tensorrt",), (), ORIN, "tensorrt", ("8.7",)),
    ],
)
def test_who_builds(
    installed: tuple[str, ...],
    asked: tuple[str, ...],
    gpu: object,
    flavour: str,
    built_for: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(targets, "load", having(*installed))
    target = choose_target(asked, gpu)  # type: ignore[arg-type]
    assert (target.tensorrt.flavour, target.compute_capabilities) == (flavour, built_for)
    assert target.gpu == (None if gpu is NOTHING else gpu)


@pytest.mark.parametrize(
    ("installed", "asked", "gpu", "words"),
    [
        ((), (), A10, r"^tensorrt is not installed \(install tensorrt\)"),
        (("tensorrt", "rtx"), (), NOTHING, r"none was named: no NVIDIA GPU or driver \(give --compute-capability 8.6"),
        (("tensorrt",), ("8.6",), NOTHING, "8.6: ahead of time .* by TensorRT-RTX only, and rtx is not installed"),
        (("tensorrt",), ("8.7",), A10, "rtx is not installed"),
        (("rtx",), (), ORIN, "tensorrt is not installed, and TensorRT-RTX .* does not run on compute capability 8.7"),
        (("rtx",), ("9.9",), NOTHING, "9.9: TensorRT-RTX .* compiles for 7.5"),
    ],
)
def test_what_is_missing(
    installed: tuple[str, ...], asked: tuple[str, ...], gpu: object, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "load", having(*installed))
    with pytest.raises(EdgekitError, match=words):
        choose_target(asked, gpu)  # type: ignore[arg-type]


def test_an_rtx_that_knows_no_other_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    old = replace(tensorrt("10.3.0"), flavour="rtx", version="1.0.0")
    monkeypatch.setattr(targets, "load", lambda flavour: old)
    with pytest.raises(EdgekitError, match=r"TensorRT-RTX 1.0.0 cannot compile for another GPU"):
        choose_target(("8.6",), NOTHING)
