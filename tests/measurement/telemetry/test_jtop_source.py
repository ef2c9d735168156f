"""jtop as a Jetson's service gives it; the class stands in for jetson-stats, which needs the board."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgekit.measurement.telemetry.jtop_source import open_jtop
from edgekit.measurement.telemetry.source import Missing, TelemetrySource
from tests.machines import ORIN_NANO


class FakeJtop:
    """The attributes edgekit reads of jtop.jtop (jetson-stats 7.2), with the values of an Orin Nano."""

    def __init__(self, interval: float) -> None:
        self.interval, self.running = interval, False
        self.power = {
            "rail": {"VDD_CPU_GPU_CV": {"power": 3210, "online": True}, "VDD_SOC": {"power": 1500, "online": True}},
            "tot": {"power": 8421, "avg": 8000, "name": "VDD_IN"},
        }
        self.temperature = {"CPU": {"temp": 51.5, "online": True}, "CV0": {"temp": -256, "online": False}}
        self.gpu = {"gpu": {"freq": {"cur": 1020000}, "status": {"load": 97.5}}}
        self.cpu = {"cpu": [{"online": True, "freq": {"cur": 1728000}}, {"online": False}]}
        self.memory = {"RAM": {"used": 4_000_000, "tot": 7_600_000}}
        self.nvpmodel, self.jetson_clocks = SimpleNamespace(name="MAXN_SUPER"), False

    def start(self) -> None:
        self.running = True

    def ok(self, spin: bool = False) -> bool:
        assert spin, "a blocking ok() would hold up the sampler"
        return self.running

    def close(self) -> None:
        self.running = False


def stands_in(jtop: type[FakeJtop]) -> Callable[[str], object]:
    return lambda _name: SimpleNamespace(jtop=jtop)


def test_readings(tmp_path: Path) -> None:
    source = open_jtop(stands_in(FakeJtop), ORIN_NANO.write(tmp_path))
    assert isinstance(source, TelemetrySource)
    assert source.settings == {"power mode": "MAXN_SUPER", "jetson_clocks": "off"}
    assert source.board_rail == "VDD_IN"
    values = source.read().values
    assert values["VDD_IN", "W"] == 8.421
    assert values["VDD_SOC", "W"] == 1.5
    assert values["cpu", "celsius"] == 51.5
    assert ("cv0", "celsius") not in values
    assert values["gpu gpu", "MHz"] == 1020
    assert values["cpu", "MHz"] == 1728
    assert values["host", "MB"] == 4096
    source.close()
    with pytest.raises(ConnectionError):
        source.read()


def test_a_field_that_is_missing_takes_no_other_with_it(tmp_path: Path) -> None:
    class Other(FakeJtop):
        def __init__(self, interval: float) -> None:
            super().__init__(interval)
            del self.memory["RAM"], self.gpu["gpu"]["status"], self.power["rail"]["VDD_SOC"]["power"]
            self.temperature["CPU"]["temp"] = None
            self.cpu = {"cpu": [{"online": True}]}

    source = open_jtop(stands_in(Other), ORIN_NANO.write(tmp_path))
    assert isinstance(source, TelemetrySource)
    assert source.read().values == {("VDD_IN", "W"): 8.421, ("VDD_CPU_GPU_CV", "W"): 3.21, ("gpu gpu", "MHz"): 1020}


def test_why_it_is_missing(tmp_path: Path) -> None:
    assert open_jtop(root=tmp_path) == Missing("jtop", "this is not a Jetson", "nothing to do")
    ORIN_NANO.write(tmp_path)

    def not_installed(_name: str) -> object:
        raise ImportError("No module named 'jtop'")

    missing = open_jtop(not_installed, tmp_path)
    assert isinstance(missing, Missing)
    assert "not installed" in missing.reason

    class NotRunning(FakeJtop):
        def start(self) -> None:
            raise RuntimeError("The jtop.service is not active. Please run:\nsudo jtop --install-service")

    missing = open_jtop(stands_in(NotRunning), tmp_path)
    assert isinstance(missing, Missing)
    assert "service is not active. Please run: sudo" in missing.reason
    assert "systemctl" in missing.remedy
