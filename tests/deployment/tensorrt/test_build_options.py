from __future__ import annotations

import pytest

from edgekit.deployment.tensorrt.build_options import (
    EngineOptions,
    check_options,
    configure,
    set_workspace,
    workspace_for,
)
from edgekit.deployment.tensorrt.network import network_flags
from edgekit.deployment.tensorrt.target import Target
from edgekit.errors import EdgekitError
from edgekit.runtime.flavours import load
from tests.deployment.tensorrt.versions import A10, ORIN, TURING, Config, tensorrt

VERSIONS = ("10.3.0", "10.13.3.9", "11.3.0")


@pytest.mark.parametrize(("version", "flags"), [("10.3.0", 2), ("10.13.3.9", 8), ("11.3.0", 0)])
def test_networks_are_strongly_typed_whatever_the_flag_is_worth(version: str, flags: int) -> None:
    assert network_flags(tensorrt(version).module) == flags


@pytest.mark.parametrize("version", VERSIONS)
def test_no_precision_flag_is_ever_set(version: str) -> None:
    here = tensorrt(version)
    config = Config()
    settings = configure(config, EngineOptions(), Target(here, A10, ("8.6",)))
    assert config.flags == set()
    assert settings["strongly_typed"]
    assert settings["tf32"]
    assert not settings["ahead_of_time"]
    assert not hasattr(config, "hardware_compatibility_level")


@pytest.mark.parametrize("version", VERSIONS)
def test_options_a_version_has(version: str) -> None:
    here = tensorrt(version)
    target = Target(here, A10, ("8.6",))
    options = EngineOptions(version_compatible=True, hardware_compatible=True)
    check_options(options, target)
    config = Config()
    settings = configure(config, options, target)
    assert {f.name for f in config.flags} == {"VERSION_COMPATIBLE"}
    assert config.hardware_compatibility_level is here.module.HardwareCompatibilityLevel.AMPERE_PLUS
    assert settings["version_compatible"]
    assert settings["hardware_compatible"]


def test_options_a_version_has_not() -> None:
    here = tensorrt("10.3.0")
    target = Target(here, A10, ("8.6",))
    del here.module.HardwareCompatibilityLevel
    with pytest.raises(EdgekitError, match=r"--hardware-compatible: TensorRT 10.3.0 has no such engines"):
        check_options(EngineOptions(hardware_compatible=True), target)
    here.module.BuilderFlag = type("BuilderFlag", (), {})
    with pytest.raises(EdgekitError, match="--version-compatible: TensorRT"):
        check_options(EngineOptions(version_compatible=True), target)


def test_hardware_compatible_needs_ampere() -> None:
    with pytest.raises(EdgekitError, match=r"this GPU has 7.5"):
        check_options(EngineOptions(hardware_compatible=True), Target(tensorrt("10.3.0"), TURING, ("7.5",)))


@pytest.mark.parametrize(
    ("options", "gpu", "workspace_mb"),
    [
        (EngineOptions(), A10, 16000),
        (EngineOptions(), ORIN, 2000),  # shares its memory with this process
        (EngineOptions(workspace_mb=300), ORIN, 300),
        (EngineOptions(), None, None),  # nothing runs while it builds
    ],
)
def test_workspace(options: EngineOptions, gpu: object, workspace_mb: int | None) -> None:
    target = Target(tensorrt("10.3.0"), gpu, ("8.7",))  # type: ignore[arg-type]
    assert workspace_for(options, target) == workspace_mb


def test_workspace_in_bytes() -> None:
    config, trt = Config(), tensorrt("11.3.0").module
    set_workspace(config, trt, 300)
    assert config.pools == {trt.MemoryPoolType.WORKSPACE: 300_000_000}


def test_rtx_is_aimed_at_each_gpu() -> None:
    pytest.importorskip("tensorrt_rtx", reason="needs edgekit[rtx]")
    rtx = load("rtx")
    config = rtx.module.Builder(rtx.logger).create_builder_config()
    configure(config, EngineOptions(), Target(rtx, None, ("8.6", "12.0")))
    set_ = [config.get_compute_capability(i).name for i in range(config.num_compute_capabilities)]
    assert set_ == ["SM86", "SM120"]
