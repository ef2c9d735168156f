"""Files of the user that are not what they seem: encodings, hidden files, pipes, sockets, folders named as files."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest
from PIL import Image

from edgekit.cli import main
from edgekit.errors import EdgekitError
from edgekit.files.reading import list_files, read_text


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    """Fail a test that waits for a pipe to be written to."""

    def give_up(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError("a pipe was opened")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def stray_files(folder: Path, suffix: str) -> None:
    """What lies in folders of photos and annotations besides them; none of it is data."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (".ipynb_checkpoints", "__MACOSX", "@eaDir", "#recycle", "sub.d"):
        (folder / name).mkdir()
    for name in (f".ipynb_checkpoints/a{suffix}", f"__MACOSX/._a{suffix}", f"@eaDir/a{suffix}", f"._a{suffix}"):
        (folder / name).write_bytes(b"\0\5\26\7")
    (folder / "Thumbs.db").write_bytes(b"\0")
    (folder / f"folder{suffix}").mkdir()
    os.mkfifo(folder / f"pipe{suffix}")
    here = Path.cwd()
    os.chdir(folder)  # the name of a socket has at most 107 bytes
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"socket{suffix}")
    os.chdir(here)
    (folder / f"device{suffix}").symlink_to("/dev/null")


def test_only_visible_files_are_listed(tmp_path: Path) -> None:
    stray_files(tmp_path, ".jpg")
    for name in ("b.jpg", "a.JPG", "sub.d/c.jpg", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere")  # reading it says so; skipping it would not
    assert [p.name for p in list_files(tmp_path, [".jpg"])] == ["a.JPG", "b.jpg", "gone.jpg"]
    deep = list_files(tmp_path, [".jpg", ".jpeg"], deep=True)
    assert [str(p.relative_to(tmp_path)) for p in deep] == ["a.JPG", "b.jpg", "gone.jpg", "sub.d/c.jpg"]


def test_a_hidden_folder_that_is_given_is_listed(tmp_path: Path) -> None:
    (tmp_path / ".photos").mkdir()
    (tmp_path / ".photos" / "a.jpg").touch()
    assert list_files(tmp_path / ".photos", [".jpg"], deep=True)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_text_in_any_unicode(encoding: str, tmp_path: Path) -> None:
    marked = "" if encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32") else "\ufeff"
    (tmp_path / "x").write_bytes((marked + "Hähnchen\n蛙").encode(encoding))
    assert read_text(tmp_path / "x") == "Hähnchen\n蛙"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("Hähnchen".encode("latin-1"), "is not UTF-8 text"),
        ("frog".encode("utf-16-le"), "zero bytes"),
        (b"\xff\xfef\0r", "is not UTF-16 text"),
    ],
)
def test_text_in_another_encoding_is_named(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(EdgekitError, match=message) as caught:
        read_text(tmp_path / "x")
    assert caught.value.hint == "save it as UTF-8"


COMMANDS = [
    ["inspect", "{x}.onnx"],
    ["inspect", "{x}.safetensors"],
    ["inspect", "{x}.pth"],
    ["inspect", "{x}.engine"],
    ["predict", "demo", "{x}.jpg"],
    ["predict", "demo", "{x}.mp4"],
    ["eval", "demo", "--data", "{x}.json", "--images", "{photos}"],
    ["eval", "demo", "--data", "{x}.yaml", "--images", "{photos}"],
    ["eval", "demo", "--data", "{data}", "--images", "{x}.jpg"],
    ["adapt", "demo", "--data", "{x}.json", "--images", "{photos}", "-o", "{photos}/out.safetensors"],
    ["adapt", "demo", "--data", "{data}", "--images", "{photos}", "--probe", "{x}.d", "-o", "{photos}/o.safetensors"],
    ["export", "demo", "-o", "{photos}/x.onnx", "--precision", "int8", "--calibration", "{x}.json"],
    ["export", "demo", "-o", "{photos}/x.onnx", "--precision", "int8", "--calibration", "{x}.jpg"],
    ["bench", "demo", "--runs", "1", "--images", "{x}.d"],
]


@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: " ".join(c[:4]))
def test_what_is_no_file_is_named(
    command: list[str], kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "photos"
    stray_files(photos, next(w for w in command if w.startswith("{x}")).removeprefix("{x}"))
    Image.effect_noise((60, 40), 50).save(photos / "a.png")
    data = tmp_path / "data.json"
    row = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9], "segmentation": [[1, 1, 10, 1, 10, 10]]}
    document = {"images": [{"id": 1, "file_name": "a.png", "height": 40, "width": 60}], "annotations": [row]}
    data.write_text(json.dumps(document | {"categories": [{"id": 1, "name": "frog"}]}))
    given = [w.format(x=photos / kind, photos=photos, data=data) for w in command]
    assert main(given) == 1
    said = capsys.readouterr().err
    assert f"/photos/{kind}." in said
    what = {"pipe": "is a named pipe", "socket": "is a socket", "device": "is a device"}[kind]
    assert what in said or "is not a folder" in said
    assert "Traceback" not in said
