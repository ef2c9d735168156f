"""Energy counters and throttling as files below /sys, written by the test."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.measurement.telemetry.host import open_host
from edgekit.measurement.telemetry.rapl import open_rapl
from edgekit.measurement.telemetry.source import Missing, TelemetrySource
from edgekit.measurement.telemetry.throttling import open_throttling
from tests.machines import ORIN_NANO


def write(root: Path, **files: object) -> None:
    for name, value in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")


def rapl(root: Path, package: int, dram: int) -> None:
    zone = "sys/class/powercap/intel-rapl:0"
    write(root, **{f"{zone}/name": "package-0", f"{zone}/energy_uj": package, f"{zone}/max_energy_range_uj": 1_000_000})
    core = f"{zone}:0"
    write(root, **{f"{core}/name": "core", f"{core}/energy_uj": 5})
    write(root, **{f"{zone}:1/name": "dram", f"{zone}:1/energy_uj": dram, f"{zone}:1/max_energy_range_uj": 1_000_000})


def test_rapl_counts_packages_and_memory_over_the_turn_of_its_counter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rapl(tmp_path, 900_000, 100_000)
    source = open_rapl(tmp_path)
    assert isinstance(source, TelemetrySource)
    monkeypatch.setattr("time.perf_counter", lambda: 100.0)
    assert source.read().values == {}, "power is known from the second sample on"
    rapl(tmp_path, 200_000, 150_000)
    monkeypatch.setattr("time.perf_counter", lambda: 100.1)
    assert source.read().values == {
        ("cpu package-0", "W"): pytest.approx(3.0),
        ("dram 0", "W"): pytest.approx(0.5),
    }


def test_rapl_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = open_rapl(tmp_path)
    assert isinstance(missing, Missing)
    assert "no energy counters" in missing.reason
    rapl(tmp_path, 1, 1)
    read = Path.read_text

    def refuse(path: Path, *arguments: object, **options: object) -> str:
        if path.name == "energy_uj":  # as the kernel does to anyone but root
            raise PermissionError(13, "Permission denied")
        return read(path, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", refuse)
    missing = open_rapl(tmp_path)
    assert isinstance(missing, Missing)
    assert "only root" in missing.reason
    assert "chmod a+r" in missing.remedy


def test_throttling_of_a_jetson(tmp_path: Path) -> None:
    counter = "sys/class/hwmon/hwmon3/oc3_event_cnt"
    device = "sys/class/thermal/cooling_device5"
    write(tmp_path, **{counter: 37, f"{device}/type": "gpu-throttle-alert", f"{device}/cur_state": 0})
    write(tmp_path, **{"sys/class/thermal/cooling_device0/type": "pwm-fan"})
    write(tmp_path, **{"sys/class/thermal/cooling_device0/cur_state": 3})
    source = open_throttling(tmp_path)
    assert isinstance(source, TelemetrySource)
    assert source.read().throttled == ()
    write(tmp_path, **{counter: 39, f"{device}/cur_state": 1})
    assert source.read().throttled == ("over-current", "gpu too hot")
    assert source.read().throttled == ("gpu too hot",)


def test_throttling_of_a_processor(tmp_path: Path) -> None:
    counter = "sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count"
    write(tmp_path, **{counter: 2})
    source = open_throttling(tmp_path)
    assert isinstance(source, TelemetrySource)
    write(tmp_path, **{counter: 3})
    assert source.read().throttled == ("cpu too hot",)
    missing = open_throttling(tmp_path / "nothing")
    assert isinstance(missing, Missing)


def test_this_host() -> None:
    source = open_host()
    assert isinstance(source, TelemetrySource)
    values = source.read().values
    assert 10 < values["process", "MB"] < values["host", "MB"]


def test_settings_and_absence_of_the_host(tmp_path: Path) -> None:
    write(tmp_path, **{"sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance"})
    source = open_host(root=ORIN_NANO.write(tmp_path))
    assert isinstance(source, TelemetrySource)
    assert source.settings == {"cpu governor": "performance", "power mode": "MAXN_SUPER"}

    def absent(_name: str) -> object:
        raise ImportError

    assert isinstance(open_host(absent), Missing)
