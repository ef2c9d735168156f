"""Files written whole or not at all, and what killed processes leave behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgekit.errors import EdgekitError
from edgekit.files import whole_files as files
from edgekit.files.whole_files import atomic_path, place, sha256, staged, staging


def test_all_files_take_their_places(tmp_path: Path) -> None:
    output = tmp_path / "new" / "x.onnx"
    with staged(output) as folder:
        (folder / "x.onnx").write_text("graph")
        (folder / "x.engine").write_text("engine")
        assert not output.exists()
    assert {p.name: p.read_text() for p in output.parent.iterdir()} == {"x.onnx": "graph", "x.engine": "engine"}


def test_a_failure_leaves_what_was_there_and_names_the_places(tmp_path: Path) -> None:
    output = tmp_path / "x.onnx"
    output.write_text("earlier")

    def fail() -> None:
        with staged(output) as folder:
            (folder / "x.onnx").write_text("graph")
            raise EdgekitError(f"{folder / 'x.engine'}: is no engine", f"see {folder / 'x.onnx'}")

    with pytest.raises(EdgekitError) as raised:
        fail()
    assert raised.value.message == f"{tmp_path / 'x.engine'}: is no engine"
    assert raised.value.hint == f"see {output}"
    assert [p.read_text() for p in tmp_path.iterdir()] == ["earlier"]


def test_a_folder_in_the_way_keeps_all_from_moving(tmp_path: Path) -> None:
    (tmp_path / "x.engine").mkdir()

    def write() -> None:
        with staged(tmp_path / "x.onnx") as folder:
            (folder / "x.onnx").write_text("graph")
            (folder / "x.engine").write_text("engine")

    with pytest.raises(EdgekitError, match=r"x.engine: is a folder"):
        write()
    assert [p.name for p in tmp_path.iterdir()] == ["x.engine"]


def test_failed_write_keeps_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("earlier")

    def write_and_fail() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_and_fail()
    assert path.read_text() == "earlier"
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]


def test_what_cannot_be_read_has_no_sha256(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    with pytest.raises(EdgekitError, match=r"link: cannot be read: No such file .*replace or remove it"):
        sha256(tmp_path / "link")
    with pytest.raises(EdgekitError, match="cannot be read: Is a directory"):
        sha256(tmp_path)


DIES = """
import os, signal, sys
from pathlib import Path
from edgekit.files.whole_files import staging
with staging(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("half")
    print("ready", flush=True)
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_killed_processes_left_is_removed_by_the_next(tmp_path: Path) -> None:
    command = [sys.executable, "-c", DIES, str(tmp_path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    (left,) = tmp_path.iterdir()
    os.utime(left, (0, 0))  # however old: its process lives

    def write() -> list[Path]:
        files._remove_leftovers.cache_clear()  # as another process
        with atomic_path(tmp_path / "x.txt") as temporary:
            temporary.write_text("new")
        return sorted(tmp_path.iterdir())

    assert write() == [left, tmp_path / "x.txt"]
    process.communicate("")
    assert process.returncode == -signal.SIGKILL
    assert left.is_dir()
    assert write() == [tmp_path / "x.txt"]


def test_a_reused_process_number_saves_nothing(tmp_path: Path) -> None:
    """The number of a process that is not the one that left the folder, which is not locked."""
    left = tmp_path / f".edgekit-{os.getppid()}-0123456789abcdef.partial"
    left.mkdir()
    (tmp_path / ".mine.partial").mkdir()
    with staging(tmp_path):
        assert left.exists()  # it may have been made this instant, its lock to come
    os.utime(left, (time.time() - 100,) * 2)
    files._remove_leftovers.cache_clear()
    with staging(tmp_path):
        assert not left.exists()
    assert [p.name for p in tmp_path.iterdir()] == [".mine.partial"]


def test_temporary_names_are_random(tmp_path: Path) -> None:
    with staging(tmp_path) as one, staging(tmp_path) as other:
        assert one != other


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_folder_takes_another_ones_place(exchanges: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not exchanges:  # a file system that cannot
        monkeypatch.setattr(files, "EXCHANGE", 1 << 20)
    for text in ("old", "new"):
        with staging(tmp_path) as folder:
            (folder / "made" / "1").mkdir(parents=True)
            (folder / "made" / "1" / text).write_text(text)
            place(folder / "made", tmp_path / "served")
    assert [p.name for p in (tmp_path / "served" / "1").iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["served"]


SLOW = """
import signal, sys, time
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background ignores it, and so would this
from edgekit.cli import cli, main
from edgekit.files.whole_files import atomic_path
@cli.command()
def wait():
    with atomic_path(Path(sys.argv[1])) as temporary:
        temporary.write_text("half")
        print("ready", flush=True)
        time.sleep(60)
sys.exit(main(["wait"]))
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_leave_nothing_half_written(number: signal.Signals, code: int, tmp_path: Path) -> None:
    command = [sys.executable, "-c", SLOW, str(tmp_path / "x.txt")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, list(tmp_path.iterdir())) == (code, [])
    assert said.count("interrupted; no output was left half-written") == 1


def test_what_is_renamed_is_on_the_disk_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file, and after it was renamed the folder that has its name now: the order of the calls to the system."""
    calls: list[str] = []
    sync, replace = os.fsync, os.replace

    def noted_sync(handle: int) -> None:
        calls.append(os.readlink(f"/proc/self/fd/{handle}"))
        sync(handle)

    def noted_replace(made: Path, path: Path) -> None:
        calls.append(f"to {path}")
        replace(made, path)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(os, "replace", noted_replace)
    with atomic_path(tmp_path / "x.txt") as temporary:
        temporary.write_text("text")
    assert calls == [str(temporary), f"to {tmp_path / 'x.txt'}", str(tmp_path)]
