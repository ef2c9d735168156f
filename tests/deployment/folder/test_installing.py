"""Packs installed into a folder and removed from it: what changes there, and that nothing does where it fails."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgekit.artifacts import pack_files
from edgekit.artifacts.manifest import BASE, LOCK, MANIFEST, WEIGHTS, check_files, read_manifest
from edgekit.artifacts.pack_files import Pack, write_pack
from edgekit.deployment.folder import installing
from edgekit.deployment.folder.installing import install, remove
from edgekit.errors import EdgekitError
from edgekit.runtime.parts_session import PartsSession
from tests.damage import flip_a_bit
from tests.packs import assert_same, found_in_parts, parts_of, random_pack, write_packs

A, ONE = random_pack("a"), random_pack("one", 1, adapter=False)
ON_A = random_pack("on-a", 3, parents=[A])


@pytest.fixture(scope="module")
def exported(base_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return parts_of(base_onnx, tmp_path_factory.mktemp("parts") / "model")


@pytest.fixture(scope="module")
def with_a(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parts") / "model"
    shutil.copytree(exported, folder)
    install(write_packs(folder.parent, A), folder)
    return folder


@pytest.fixture
def model(with_a: Path, tmp_path: Path) -> Path:
    """A folder with one pack, a."""
    return Path(shutil.copytree(with_a, tmp_path / "model"))


def contents(folder: Path) -> dict[str, bytes]:
    """All of a folder's files; the lock's, which stays, is empty."""
    files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert files.pop(LOCK, b"") == b""
    return files


def refused(folder: Path, message: str, change: Callable[[], Any]) -> None:
    """Assert that a change fails with this message and a remedy, and that the folder stays as it was."""
    before = contents(folder)
    with pytest.raises(EdgekitError, match=message) as raised:
        change()
    assert raised.value.hint
    assert "\n" not in str(raised.value)
    assert contents(folder) == before


def test_what_an_installation_adds_and_a_removal_takes_away(exported: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(exported, tmp_path / "model"))
    before = contents(model)
    times = {
        path: path.stat().st_mtime_ns
        for path in model.iterdir()
        if path.is_file() and path.name not in (MANIFEST, LOCK)
    }
    first, second = write_packs(tmp_path, A, ONE)
    done = install(first, model)
    assert (done.changed, done.installed, done.classes) == (("a",), ("a",), A.classes)
    added = sorted(set(contents(model)) - set(before))
    stem = f"packs/a-{A.sha256[:12]}"
    assert added == [f"{stem}.masks-4.onnx", f"{stem}.masks-6.onnx", f"{stem}.onnx", f"{stem}.pack"]
    assert done.megabytes == pytest.approx(sum((model / name).stat().st_size for name in added) / 1e6, abs=1e-3)
    assert install(second, model).installed == ("a", "one")
    check_files(model, read_manifest(model))
    base = read_manifest(model).base_sha256
    assert base == read_manifest(exported).base_sha256
    assert PartsSession(model).meta.new_classes == (*A.classes, *ONE.classes)
    assert remove("a", model).installed == ("one",)
    assert PartsSession(model).meta.new_classes == ONE.classes
    assert remove("one", model).installed == ()
    assert contents(model) == before
    assert {path: path.stat().st_mtime_ns for path in times} == times, "the base model's files were written again"


def test_several_at_once_each_after_its_parents(exported: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(exported, tmp_path / "model"))
    assert install(write_packs(tmp_path, ON_A, ONE, A), model).installed == ("one", "a", "on-a")
    refused(model, "pack on-a was trained on top of a", lambda: remove("a", model))
    remove("on-a", model)
    assert remove("a", model).installed == ("one",)


def test_what_is_no_edgekits_stays(model: Path, tmp_path: Path) -> None:
    """Packs may be kept where they are installed."""
    (pack,) = write_packs(model / "packs", ONE)
    (model / "packs" / "notes").mkdir()
    (model / "packs" / "notes" / "mine.txt").write_text("mine")
    install(pack, model)
    remove("one", model)
    remove("a", model)
    assert {name for name in contents(model) if name.startswith("packs/")} == {"packs/one.pack", "packs/notes/mine.txt"}


@pytest.mark.parametrize("name", ["two words", "a\\b", "été", "..", "-o"])
def test_a_pack_of_any_name(name: str, model: Path, tmp_path: Path) -> None:
    write_pack(tmp_path / f"{name}.pack", ONE)
    install(tmp_path / f"{name}.pack", model)
    assert PartsSession(model, [name]).meta.new_classes == ONE.classes
    assert remove(name, model).installed == ("a",)


def changed(pack: Pack, **values: object) -> Pack:
    return replace(pack, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("packs", "message"),
    [
        ([changed(ONE, parents=ON_A.parents, name="x"), ON_A, ON_A], "pack on-a: "),
        ([random_pack("x", parents=[ONE])], "pack x: was trained on top of one, which is not here"),
        ([changed(ONE, classes=("a 1",))], r"pack one: pack a already has the class a 1 \(omit one of"),
        ([changed(ONE, classes=("apple",))], "pack one: .*model already has the class apple"),
        ([ONE, changed(ONE, name="two", precision="fp16")], "pack two: pack one already has the class one 0"),
        ([ONE, ONE], "pack one: "),
        ([ONE, changed(ONE, name="again")], "pack again: is there twice"),
        ([A], "pack a: a pack of this name is installed"),
        ([changed(A, name="b")], "pack b: is there twice"),
        ([changed(ONE, base="0" * 64)], f"pack one: was trained on the model 000000000000; .* is {ONE.base[:12]}"),
        ([changed(ONE, precision="int8")], "pack one: was trained on int8 features, and .* computes fp32 .*--force"),
    ],
)
def test_packs_that_do_not_fit(packs: list[Pack], message: str, model: Path, tmp_path: Path) -> None:
    files = [path for pack in packs for path in write_packs(tmp_path, pack)]
    refused(model, message, lambda: install(files, model))


def test_another_precision_by_force(model: Path, tmp_path: Path) -> None:
    (pack,) = write_packs(tmp_path, changed(ONE, precision="int8"))
    assert install(pack, model, force=True).installed == ("a", "one")
    assert PartsSession(model).meta.new_classes == (*A.classes, *ONE.classes)


def test_a_pack_of_a_newer_format(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as newer:
        newer.setattr(pack_files, "FORMAT", "edgekit pack 2")
        (pack,) = write_packs(tmp_path, ONE)
    refused(model, r"one\.pack: is not a pack of this edgekit's format \(update edgekit", lambda: install(pack, model))


@pytest.mark.parametrize("place", [0.0, 0.02, 0.3, 0.6, 1.0])
def test_a_damaged_pack(place: float, model: Path, tmp_path: Path) -> None:
    (pack,) = write_packs(tmp_path, ONE)
    flip_a_bit(pack, place)
    refused(model, r"one\.pack: .*(is damaged|safetensors)", lambda: install(pack, model))


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"half"])
def test_what_is_no_pack(content: bytes, model: Path, tmp_path: Path) -> None:
    pack = write_packs(tmp_path, ONE)[0]
    pack.write_bytes(pack.read_bytes()[:5000] if content == b"half" else content)
    refused(model, r"one\.pack: is not a safetensors file or is damaged", lambda: install(pack, model))
    refused(model, r"gone\.pack: no such file", lambda: install(tmp_path / "gone.pack", model))


def use(way: str, model: Path, packs: Path) -> None:
    """Use a folder: "install" a pack, "remove" one, or "open" it."""
    if way == "install":
        install(packs / "one.pack", model)
    elif way == "remove":
        remove("a", model)
    else:
        PartsSession(model)


def pack_file(ending: str) -> str:
    return f"packs/a-{A.sha256[:12]}{ending}"


@pytest.mark.parametrize("way", ["install", "open"])
@pytest.mark.parametrize("name", [BASE, WEIGHTS, "masks-4.onnx", pack_file(".onnx"), pack_file(".pack")])
def test_a_damaged_or_half_copied_folder(way: str, name: str, model: Path, tmp_path: Path) -> None:
    write_packs(tmp_path, ONE)
    damaged = re.escape(name)
    flip_a_bit(model / name)
    refused(model, f"{damaged}: is not the file that manifest.json names", lambda: use(way, model, tmp_path))
    (model / name).unlink()
    refused(model, f"{damaged}: is missing", lambda: use(way, model, tmp_path))


@pytest.mark.parametrize("way", ["install", "remove", "open"])
def test_a_damaged_manifest(way: str, model: Path, tmp_path: Path) -> None:
    write_packs(tmp_path, ONE)
    text = (model / MANIFEST).read_text()
    for content, message in (
        (text[: len(text) // 2], "is damaged"),
        ("[]", "is damaged"),
        (text.replace("edgekit parts 1", "edgekit parts 2"), "is not of this edgekit's format .*update edgekit"),
        (text.replace('"pack"', '"packet"'), "is damaged"),
    ):
        (model / MANIFEST).write_text(content)
        refused(model, rf"manifest\.json: {message}", lambda: use(way, model, tmp_path))
    (model / MANIFEST).write_bytes(b"\xff\xfe\0")
    refused(model, r"manifest\.json: ", lambda: use(way, model, tmp_path))


@pytest.mark.parametrize("way", ["install", "remove", "open"])
@pytest.mark.parametrize("elsewhere", ["../x", "{absolute}", "packs/../../x", ".x", "..\\x"])
def test_a_manifest_that_names_a_file_elsewhere(way: str, elsewhere: str, model: Path, tmp_path: Path) -> None:
    write_packs(tmp_path, ONE)
    shutil.copy(model / pack_file(".pack"), tmp_path / "x")
    name = elsewhere.format(absolute=tmp_path / "x")
    values = json.loads((model / MANIFEST).read_text())
    (pack,) = values["packs"]
    pack["files"][name] = pack["files"].pop(pack["pack"])
    pack["pack"] = name
    (model / MANIFEST).write_text(json.dumps(values))
    refused(model, r"manifest\.json: is damaged: it names a file elsewhere", lambda: use(way, model, tmp_path))
    assert (tmp_path / "x").is_file()


@pytest.mark.parametrize("way", ["install", "open"])
@pytest.mark.parametrize("name", [BASE, "packs"])
def test_a_link_to_elsewhere(way: str, name: str, model: Path, tmp_path: Path) -> None:
    write_packs(tmp_path, ONE)
    shutil.move(model / name, tmp_path / "elsewhere")
    (model / name).symlink_to(tmp_path / "elsewhere")
    refused(model, f"{name}.*: lies outside of the folder", lambda: use(way, model, tmp_path))


def test_a_manifest_that_lists_too_few_files(model: Path, tmp_path: Path) -> None:
    values = json.loads((model / MANIFEST).read_text())
    del values["files"]["masks-4.onnx"]
    (model / MANIFEST).write_text(json.dumps(values))
    (pack,) = write_packs(tmp_path, ONE)
    refused(model, r"is damaged: it lists no masks-4\.onnx", lambda: install(pack, model))


def test_what_is_not_the_folder_of_a_model(tmp_path: Path) -> None:
    (pack,) = write_packs(tmp_path, ONE)
    for folder in (tmp_path, tmp_path / "gone", pack):
        with pytest.raises(EdgekitError, match="is not the folder of a model") as raised:
            install(pack, folder)
        assert "edgekit export MODEL -o" in str(raised.value.hint)
    assert [path.name for path in tmp_path.iterdir()] == ["one.pack"]


def test_a_pack_that_is_not_there(model: Path) -> None:
    refused(model, "no pack owl is installed", lambda: remove("owl", model))


def test_while_another_process_changes_it(model: Path, tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from edgekit.artifacts.manifest import locked\n"
        f"with locked(pathlib.Path({str(model)!r})): print('held', flush=True); sys.stdin.read()"
    )
    (pack,) = write_packs(tmp_path, ONE)
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        for change in (lambda: install(pack, model), lambda: remove("a", model)):
            refused(model, r"model: another process is changing it \(wait", change)
        assert PartsSession(model).meta.new_classes == A.classes, "it can be used"
        other.communicate()
    assert install(pack, model).installed == ("a", "one")


class Killed(BaseException):
    pass


@pytest.mark.parametrize("after", range(5))
def test_an_installation_that_is_cut_short(
    after: int, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four files take their places, then the manifest: until then the folder is what it was."""
    (pack,) = write_packs(tmp_path, ONE)
    before = found_in_parts(model)
    placed: list[Path] = []

    def place(made: Path, path: Path) -> None:
        if len(placed) == after:
            raise Killed
        placed.append(path)
        real(made, path)

    real = installing.place
    with monkeypatch.context() as killing:
        killing.setattr(installing, "place", place)
        with pytest.raises(Killed):
            install(pack, model)
    assert len(placed) == after
    assert_same(before, found_in_parts(model))
    assert install(pack, model).installed == ("a", "one")
    remove("one", model)
    assert_same(before, found_in_parts(model))
    assert not [name for name in contents(model) if "one" in name]


def test_without_pytorch(model: Path, tmp_path: Path) -> None:
    (pack,) = write_packs(tmp_path, ONE)
    code = (
        "import sys; from edgekit.cli import main\n"
        "for command in (['install', sys.argv[1], sys.argv[2]], ['remove', 'one', sys.argv[2]]):\n"
        "    assert main(command) == 0\n"
        "assert not {'torch', 'torchvision'} & set(sys.modules), 'PyTorch was imported'"
    )
    done = subprocess.run([sys.executable, "-c", code, str(pack), str(model)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [pack.name for pack in read_manifest(model).packs] == ["a"]
