from __future__ import annotations

import platform
from pathlib import Path

import pytest

from edgekit.measurement.machine.jetson import read_jetson
from edgekit.measurement.machine.packages import assigned, installed_packages, needed_tensorrt
from edgekit.measurement.machine.system import processor, read_system
from tests.machines import AGX_ORIN, DESKTOP, MACHINES, ORIN_NANO, THOR, FakeMachine


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        (ORIN_NANO, ("Orin Nano 8GB (developer kit)", "8.7", "36.4.3", "6.2", "MAXN_SUPER", True)),
        (AGX_ORIN, ("AGX Orin 64GB", "8.7", "36.4.0", "6.1", "25W", False)),
        (THOR, ("Thor T5000 (developer kit)", "11.0", "38.2.0", "7.0", "25W", None)),
    ],
    ids=["orin nano", "agx orin", "thor"],
)
def test_jetsons(machine: FakeMachine, expected: tuple, tmp_path: Path) -> None:
    jetson = read_jetson(machine.write(tmp_path))
    assert jetson is not None
    found = (jetson.module, jetson.compute_capability, jetson.l4t, jetson.jetpack)
    assert (*found, jetson.power_mode, jetson.clocks_pinned) == expected
    assert jetson.power_modes == ("15W", "25W", "MAXN_SUPER")


def test_libraries_from_packages_file_names_and_json(tmp_path: Path) -> None:
    found = {name: read_system(m.write(tmp_path / name)) for name, m in MACHINES.items()}
    assert {n: (s.cuda, s.cudnn, s.tensorrt) for n, s in found.items()} == {
        "orin nano": ("12.6.68", "9.3.0.75", "10.3.0.30"),
        "agx orin": ("12.6.68", None, "10.3.0"),
        "thor": ("13.0.0", None, "10.13.3.9"),
        "desktop": (None, None, None),
    }
    assert found["thor"].driver == "580.00"
    assert found["orin nano"].memory_mb == 7998
    assert found["orin nano"].swap_mb == 4000


def test_desktop(tmp_path: Path) -> None:
    system = read_system(DESKTOP.write(tmp_path), "x86_64", 32)
    assert system.jetson is None
    assert system.driver == "560.35.03"
    assert system.gpus == ("NVIDIA GeForce RTX 3080",)
    assert system.cpu == "AMD Ryzen 9 7950X 16-Core Processor"


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ("fpu sse avx2 fma", "AMD EPYC (AVX2)"),
        ("avx2 avx512f avx512_vnni", "AMD EPYC (AVX-512, VNNI)"),
        ("avx2 avx_vnni", "AMD EPYC (AVX2, VNNI)"),
        ("sse2", "AMD EPYC"),
    ],
)
def test_processors_of_one_name_are_told_apart(flags: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    a_core = f"processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: {flags}\nvmx flags\t: avx512f\n\n"
    (tmp_path / "proc" / "cpuinfo").write_text(2 * a_core)
    assert processor(tmp_path) == name


def test_an_empty_tree_is_a_machine_of_which_nothing_is_known(tmp_path: Path) -> None:
    system = read_system(tmp_path, "aarch64", 4)
    assert (system.jetson, system.driver, system.memory_mb, system.cpu) == (None, None, None, "aarch64")


def test_a_container_on_a_jetson_knows_the_board_but_not_l4t(tmp_path: Path) -> None:
    ORIN_NANO.write(tmp_path)
    (tmp_path / "etc/nv_tegra_release").unlink()
    jetson = read_jetson(tmp_path)
    assert jetson is not None
    assert (jetson.chip, jetson.l4t, jetson.jetpack) == ("tegra234", None, None)


def test_an_unknown_release_has_its_series(tmp_path: Path) -> None:
    ORIN_NANO.write(tmp_path)
    (tmp_path / "etc/nv_tegra_release").write_text("# R36 (release), REVISION: 9.9, GCID: 1\n")
    jetson = read_jetson(tmp_path)
    assert jetson is not None
    assert jetson.jetpack == "6.x"


def test_this_machine() -> None:
    system, packages = read_system(), installed_packages()
    assert system.architecture == platform.machine()
    assert system.memory_mb
    assert system.memory_mb > 500
    import numpy
    import onnxruntime
    import torch

    assert packages.versions["numpy"] == numpy.__version__
    assert packages.torch_cuda == torch.version.cuda
    assert onnxruntime.__version__ in packages.versions.values()
    assert packages.release("nothing") == ()


def test_what_a_package_was_built_for(tmp_path: Path) -> None:
    version = tmp_path / "version.py"
    version.write_text("__version__ = '2.8.0+cpu'\ndebug = False\ncuda: Optional[str] = None\nhip = '6'\n")
    assert assigned("cuda", version) is None
    version.write_text("cuda: Optional[str] = '12.6'\n")
    assert assigned("cuda", version) == "12.6"
    library = tmp_path / "provider.so"
    library.write_bytes(b"\x7fELF\0libcudart.so.12\0libnvinfer.so.10\0")
    assert needed_tensorrt(library) == 10
    assert needed_tensorrt(None) is None
