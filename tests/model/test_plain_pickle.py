"""No pickle runs code, takes all memory or ends in a traceback: it is read past, or refused in one line."""

from __future__ import annotations

import io
import os
import pickle
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgekit.errors import EdgekitError
from edgekit.model.sources import read_weights

WITNESS = "ran"  # every hostile pickle would make a file of this name in the working directory
PROTO = b"\x80\x04"
WEIGHT = torch.tensor([1.0, 2.0])


def text(value: str) -> bytes:
    raw = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(raw)) + raw


def raw_bytes(value: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(value)) + value


def number(value: int) -> bytes:
    raw = value.to_bytes(16, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def args(*values: bytes) -> bytes:
    return b"(" + b"".join(values) + b"t"


def call(module: str, attribute: str, *values: bytes) -> bytes:
    return name(module, attribute) + args(*values) + b"R"


TOUCH = text(f"touch {WITNESS}")
CODE = text(f"open('{WITNESS}', 'w')")
SYSTEM = call("os", "system", TOUCH)
GETATTR_SYSTEM = call("builtins", "getattr", name("os", ""), text("system"))
PERSISTENT = args(text("storage"), name("torch", "FloatStorage"), text("0"), text("cpu"), number(2)) + b"Q"


def storage(kind: bytes = name("torch", "FloatStorage"), key: bytes = text("0"), count: int = 2) -> bytes:
    return args(text("storage"), kind, key, text("cpu"), number(count)) + b"Q"


def tensor(source: bytes = PERSISTENT, offset: int = 0, size: bytes = number(2), stride: bytes = number(1)) -> bytes:
    hooks = call("collections", "OrderedDict")
    return call("torch._utils", "_rebuild_tensor_v2", source, number(offset), args(size), args(stride), b"\x89", hooks)


def array(shape: bytes, raw: bytes, kind: str = "f4", state: bytes | None = None) -> bytes:
    dtype = call("numpy", "dtype", text(kind), b"\x89", b"\x88")
    made = call("numpy.core.multiarray", "_reconstruct", name("numpy", "ndarray"), args(number(0)), raw_bytes(b"b"))
    return made + (state or args(number(1), args(shape), dtype, b"\x89", raw)) + b"b"


class Reduced:
    """An object that Python's own pickle module writes as a call of ``function``."""

    def __init__(self, function: Any, *values: Any) -> None:
        self.call = function, values

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def own(function: Any, *values: Any) -> bytes:
    return pickle.dumps(Reduced(function, *values), protocol=2)[2:-1]


def nested(value: bytes, times: int) -> bytes:
    return b"]" * times + value + b"a" * times


def laughs(levels: int, opened: bytes, closed: bytes) -> bytes:
    """Ten references to the level below, at each level."""
    body = text("lol") + b"q\x00"
    for level in range(levels):
        body += opened + bytes([ord("h"), level]) * 10 + closed + bytes([ord("q"), level + 1])
    return body


# Values beside the weights that would run code in Python's own unpickler. The weights are read all the same.
IGNORED: dict[str, bytes] = {
    "os.system": SYSTEM,
    "posix.system": call("posix", "system", TOUCH),
    "nt.system": call("nt", "system", TOUCH),
    "os.popen": call("os", "popen", TOUCH),
    "subprocess.Popen": call("subprocess", "Popen", TOUCH, number(-1), b"NNNN", b"\x88", b"\x88"),
    "subprocess.check_output": call("subprocess", "check_output", b"(" + text("touch") + text(WITNESS) + b"l"),
    "eval": call("builtins", "eval", CODE),
    "exec": call("builtins", "exec", CODE),
    "exec of Python 2": call("__builtin__", "eval", CODE),
    "execfile": call("__builtin__", "execfile", text(WITNESS)),
    "open": call("builtins", "open", text(WITNESS), text("w")),
    "io.open": call("io", "open", text(WITNESS), text("w")),
    "__import__": call("builtins", "__import__", text("os")),
    "compile": call("builtins", "compile", CODE, text("x"), text("exec")),
    "getattr chain": GETATTR_SYSTEM + args(TOUCH) + b"R",
    "getattr of an import": call("builtins", "getattr", call("builtins", "__import__", text("os")), text("system"))
    + args(TOUCH)
    + b"R",
    "map of system": call("builtins", "map", name("os", "system"), b"(" + TOUCH + b"l"),
    "copyreg._reconstructor": call("copyreg", "_reconstructor", name("subprocess", "Popen"), name("os", "x"), TOUCH),
    "copyreg.__newobj__": call("copyreg", "__newobj__", name("subprocess", "Popen"), TOUCH),
    "copyreg.add_extension": call("copyreg", "add_extension", text("os"), text("system"), number(7)),
    "functools.partial": call("functools", "partial", name("os", "system"), TOUCH) + b")R",
    "functools.reduce": call("functools", "reduce", name("os", "system"), b"(" + TOUCH + b"l"),
    "operator.attrgetter": call("operator", "attrgetter", text("system")) + args(name("os", "path")) + b"R",
    "operator.methodcaller": call("operator", "methodcaller", text("system"), TOUCH) + args(name("os", "path")) + b"R",
    "operator.itemgetter": call("operator", "itemgetter", number(0)) + args(SYSTEM) + b"R",
    "torch.load of bytes": call("torch", "load", call("io", "BytesIO", raw_bytes(PROTO + SYSTEM + b"."))),
    "torch.storage._load_from_bytes": call("torch.storage", "_load_from_bytes", raw_bytes(PROTO + SYSTEM + b".")),
    "torch.hub.load": call("torch.hub", "load", text("x/y"), text("z")),
    "torch.utils.collect_env.run": call("torch.utils.collect_env", "run", TOUCH),
    "torch._inductor": call("torch._inductor.codecache", "compile_file", TOUCH),
    "torch.jit.unsupported.execWrapper": call("torch.jit.unsupported_tensor_ops", "execWrapper", CODE, b"}}"),
    "runpy.run_path": call("runpy", "run_path", text("x.py")),
    "ctypes.CDLL": call("ctypes", "CDLL", text("libc.so.6")),
    "importlib.import_module": call("importlib", "import_module", text("antigravity")),
    "types.CodeType": call("types", "CodeType", *[number(0)] * 6, raw_bytes(b"d\x00S\x00"), b")))", TOUCH, TOUCH),
    "types.FunctionType": call("types", "FunctionType", call("types", "CodeType", TOUCH), b"}") + b")R",
    "marshal.loads": call("marshal", "loads", raw_bytes(b"c\x00")),
    "webbrowser.open": call("webbrowser", "open", text(f"file:///{WITNESS}")),
    "shutil.rmtree": call("shutil", "rmtree", text("kept")),
    "pathlib.Path.unlink": call("pathlib", "Path.unlink", call("pathlib", "PosixPath", text("kept"))),
    "pathlib.Path by BUILD": call("pathlib", "PosixPath", text("kept")) + b"}" + text("x") + SYSTEM + b"sb",
    "pickle.loads": call("pickle", "loads", raw_bytes(PROTO + SYSTEM + b".")),
    "_pickle.loads": call("_pickle", "loads", raw_bytes(PROTO + SYSTEM + b".")),
    "joblib.load": call("joblib", "load", text("x")),
    "numpy.load": call("numpy", "load", text("x.npy"), b"N\x88"),
    "numpy.fromfile": call("numpy", "fromfile", text("kept")),
    "numpy.memmap": call("numpy", "memmap", text(WITNESS), text("u1"), text("w+"), number(0), args(number(9))),
    "numpy.testing runstring": call("numpy.testing._private.utils", "runstring", CODE, b"}"),
    "object array": array(number(1), b"(" + SYSTEM + b"l", "O8"),
    "array of another module": call("numpy.core.multiarray", "_reconstruct", SYSTEM, SYSTEM, SYSTEM),
    "INST": b"(" + TOUCH + b"ios\nsystem\n",
    "OBJ": b"(" + name("os", "system") + TOUCH + b"o",
    "NEWOBJ": name("subprocess", "Popen") + args(TOUCH) + b"\x81",
    "NEWOBJ_EX": name("subprocess", "Popen") + args(TOUCH) + b"}" + text("shell") + b"\x88s\x92",
    "STACK_GLOBAL": text("os") + text("system") + b"\x93" + args(TOUCH) + b"R",
    "STACK_GLOBAL, dotted": text("collections") + text("_sys.modules") + b"\x93" + b")R",
    "STACK_GLOBAL, of torch": text("torch") + text("os.system") + b"\x93" + args(TOUCH) + b"R",
    "STACK_GLOBAL, fullwidth": text("\uff4f\uff53") + text("system\u200b") + b"\x93" + args(TOUCH) + b"R",
    "STACK_GLOBAL, with newlines": text("os\nos") + text("system\nx") + b"\x93" + args(TOUCH) + b"R",
    "dunder names": text("builtins") + text("list.__class__.__base__.__subclasses__") + b"\x93)R",
    "SETITEM on sys.modules": name("sys", "modules") + text("os") + SYSTEM + b"s",
    "SETITEMS on a module's names": call("builtins", "vars", name("os", "path")) + b"(" + text("x") + SYSTEM + b"u",
    "APPEND to sys.path": name("sys", "path") + text("evil") + b"a",
    "__setstate__": call("collections", "OrderedDict")
    + b"}"
    + text("__setstate__")
    + name("os", "system")
    + b"s"
    + b"b"
    + TOUCH
    + b"b",
    "__setstate__ of a class": name("collections", "OrderedDict") + b"N}" + text("items") + name("os", "x") + b"s\x86b",
    "__class__ by BUILD": call("x", "y") + b"}" + text("__class__") + name("os", "system") + b"sb",
    "__reduce__ of a reduce": own(eval, f"open('{WITNESS}', 'w')"),
    "__reduce__ in __reduce__": own(print, Reduced(os.system, f"touch {WITNESS}")),
    "calls of calls": name("os", "system") + (args(TOUCH) + b"R") * 1000,
    "tensor subclass": call(
        "torch._tensor", "_rebuild_from_type_v2", name("os", "system"), name("x", "y"), args(TOUCH), b"}"
    ),
    "storage's class": call("torch", "UntypedStorage", number(2**60)),
    "bytearray of a size": call("builtins", "bytearray", number(2**60)),
    "sparse tensor": call("torch._utils", "_rebuild_sparse_tensor", name("torch", "sparse_coo"), b"N"),
    "parameter": call("torch._utils", "_rebuild_parameter", SYSTEM, b"\x88", b"}"),
    "billion laughs of lists": laughs(30, b"(", b"l"),
    "billion laughs of tuples": laughs(30, b"(", b"t"),
    "deep lists": nested(b"N", 100_000),
    "deep tuples": b"N" + b"\x85" * 100_000,
    "deep placeholders": b"N" + (b"\x85q\x00" + b"0" + name("x", "y") + b"h\x00R") * 1000,
    "itself": b"]q\x00h\x00a",
    "itself as a placeholder": call("x", "y") + b"q\x00}" + text("me") + b"h\x00sb",
    "a path of a huge text": text("x" * 100_000)
    + b"q\x000"
    + name("pathlib", "PosixPath")
    + b"("
    + b"h\x00" * 9000
    + b"tR",
    "expanded view": tensor(size=number(2**40), stride=number(0)),
    "other location": tensor(
        args(text("storage"), name("torch", "FloatStorage"), text("0"), text("cuda:99"), number(2)) + b"Q"
    ),
}

# Pickles that no reading past can make sense of.
REFUSED: dict[str, tuple[bytes, str]] = {
    "EXT1": (b"\x82\x07", "EXT1"),
    "EXT2": (b"\x83\x07\x00", "EXT2"),
    "EXT4": (b"\x84\x07\x00\x00\x00", "EXT4"),
    "NEXT_BUFFER": (b"\x97", "NEXT_BUFFER"),
    "text persistent id": (b"Pid\n", "PERSID"),
    "persistent id of another kind": (args(text("file"), text("/etc/passwd")) + b"Q", "outside"),
    "persistent id of a path": (text("/etc/passwd") + b"Q", "outside"),
    "storage of another type": (tensor(storage(name("os", "system"))), "storage without a type"),
    "storage named by a number": (tensor(storage(key=number(0))), "storage without"),
    "storage of a negative size": (tensor(storage(count=-2)), "storage without"),
    "tensor without a storage": (tensor(SYSTEM), "without a storage"),
    "tensor beyond its storage": (tensor(size=number(3)), "larger than its data"),
    "offset beyond its storage": (tensor(offset=1), "larger than its data"),
    "stride beyond its storage": (tensor(stride=number(2)), "larger than its data"),
    "negative offset": (tensor(offset=-1), "no whole numbers"),
    "negative size": (tensor(size=number(-2)), "no whole numbers"),
    "negative stride": (tensor(stride=number(-1)), "no whole numbers"),
    "size that is an object": (tensor(size=SYSTEM), "no whole numbers"),
    "sizes that overflow": (tensor(size=number(2**61), stride=number(2**61)), "larger than its data"),
    "a thousand dimensions": (tensor(size=number(1) * 1000, stride=number(1) * 1000), "no whole numbers"),
    "NumPy array of absurd shape": (array(number(2**50), raw_bytes(b"0123")), "has 4 bytes"),
    "NumPy array of negative shape": (array(number(-1), raw_bytes(b"0123")), "without a shape"),
    "NumPy array's data is an object": (array(number(1), SYSTEM), "without data"),
    "NumPy array without a state": (array(b"", b"", state=b"N"), "damaged"),
    "NumPy number of the wrong size": (
        call("numpy.core.multiarray", "scalar", call("numpy", "dtype", text("f8"), b"\x89\x88"), raw_bytes(b"01")),
        "wrong size",
    ),
    "memo out of range": (b"j\xff\xff\xff\xff", "damaged"),
    "empty stack": (b"R", "damaged"),
    "no mark": (b"t", "damaged"),
    "call of a number's arguments": (name("os", "system") + number(1) + b"R", "without arguments"),
    "a name that is no text": (SYSTEM + SYSTEM + b"\x93", "no text"),
    "a name of absurd length": (name("x" * 10_000, "y"), "absurd length"),
    "unknown codec": (call("_codecs", "encode", text("x"), text("zip")), "unknown encoding"),
    "complex of objects": (call("builtins", "complex", SYSTEM, SYSTEM), "complex"),
    "huge text": (b"X\xff\xff\xff\xffabc", "damaged"),
    "huge bytes": (b"\x8e" + struct.pack("<Q", 2**62) + b"abc", "damaged"),
    "huge frame and length": (b"\x95" + struct.pack("<Q", 2**62) + b"\x8d" + struct.pack("<Q", 2**61), "damaged"),
    "huge whole number": (b"\x8b" + struct.pack("<i", 100_000) + bytes(99_999) + b"\x01", "absurd size"),
    "huge decimal": (b"I" + b"9" * 10_000 + b"\n", "damaged"),
    "a million lists": (b"]0" * 600_000, "1,000,000 steps"),
    "copies of a set": (
        b"]q\x00(" + b"K\x01" * 50_000 + b"e0" + (name("builtins", "set") + b"h\x00\x85R") * 300,
        "again and again",
    ),
    "copies of bytes": (
        text("x" * 1_000_000) + b"q\x000" + (name("_codecs", "encode") + b"h\x00" + text("latin1") + b"\x86R") * 300,
        "again and again",
    ),
    "copies of a dictionary": (
        b"}q\x00("
        + b"".join(b"J" + struct.pack("<i", i) + b"N" for i in range(50_000))
        + b"u0"
        + (name("x", "y") + b"h\x00\x85R") * 300,
        "again and again",
    ),
    "half a pickle": (b"(((((", "damaged"),
}


def archive(path: Path, beside: bytes, compression: int = zipfile.ZIP_STORED) -> Path:
    """A checkpoint of one tensor, with ``beside`` under another key."""
    pickled = PROTO + b"}(" + text("other") + args(beside) + text("model") + b"}" + text("w") + tensor() + b"su."
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("archive/data.pkl", pickled)
        file.writestr("archive/data/0", WEIGHT.numpy().tobytes())
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder but for ``kept``, as the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kept").mkdir()
    (tmp_path / "x.py").write_text(f"open('{WITNESS}', 'w')")
    return tmp_path


def assert_nothing_ran(folder: Path) -> None:
    assert not (folder / WITNESS).exists()
    assert (folder / "kept").is_dir()
    assert "evil" not in sys.path
    assert not hasattr(os, "x")


@pytest.mark.parametrize("kind", IGNORED)
def test_reads_the_weights_and_runs_nothing(kind: str, folder: Path) -> None:
    weights = read_weights(archive(folder / "x.pth", IGNORED[kind]))
    assert torch.equal(weights.tensors["w"], WEIGHT)
    assert_nothing_ran(folder)


@pytest.mark.parametrize("kind", REFUSED)
def test_refuses_in_one_line_and_runs_nothing(kind: str, folder: Path) -> None:
    beside, message = REFUSED[kind]
    refuses(archive(folder / "x.pth", SYSTEM + beside), message)
    assert_nothing_ran(folder)


@pytest.mark.parametrize("kind", IGNORED)
def test_no_weights_but_hostile(kind: str, folder: Path) -> None:
    """The value alone, as a plain pickle."""
    (folder / "x.pkl").write_bytes(PROTO + IGNORED[kind] + b".")
    refuses(folder / "x.pkl", "x.pkl: ")
    assert_nothing_ran(folder)


def refuses(path: Path, message: str) -> None:
    with pytest.raises(EdgekitError, match=message) as caught:
        read_weights(path)
    assert "\n" not in str(caught.value)
    assert str(path) in caught.value.message
    assert len(str(caught.value)) < len(str(path)) + 400


def test_these_pickles_would_run_code(folder: Path) -> None:
    """The witness works: Python's own unpickler makes the file."""
    pickle.loads(PROTO + IGNORED["os.system"] + b".")
    assert (folder / WITNESS).exists()


def test_what_lies_beside_the_weights_is_data(folder: Path) -> None:
    beside = SYSTEM + call("pathlib", "PosixPath", text("a"), text("b")) + IGNORED["deep lists"]
    weights = read_weights(archive(folder / "x.pth", beside + array(number(2), raw_bytes(bytes(8)))))
    assert weights.rest == {}  # nested too deep to be a setting
    weights = read_weights(archive(folder / "x.pth", SYSTEM + call("pathlib", "PosixPath", text("a"), text("b"))))
    assert weights.rest == {"other": ("<os.system>", "a/b")}


BAD_ARCHIVES: dict[str, tuple[dict[str, bytes], str]] = {
    "a storage outside of the archive": ({"data.pkl": tensor(storage(key=text("../../kept")))}, "not in the file"),
    "a storage that is missing": ({"data.pkl": tensor(storage(key=text("9")))}, "not in the file"),
    "a storage shorter than it says": ({"data.pkl": tensor(storage(count=9), size=number(9))}, "shorter than"),
    "an expanded view": ({"data.pkl": tensor(size=number(2**40), stride=number(0))}, "times the size"),
    "no pickle": ({"other.pkl": SYSTEM}, "torch.save did not write"),
    "two pickles": ({"data.pkl": SYSTEM, "b/data.pkl": SYSTEM}, "torch.save did not write"),
    "the other byte order": ({"data.pkl": tensor(), "byteorder": b"big"}, "byte order"),
}


@pytest.mark.parametrize("kind", BAD_ARCHIVES)
def test_archives_that_do_not_hold_what_they_say(kind: str, folder: Path) -> None:
    members, message = BAD_ARCHIVES[kind]
    with zipfile.ZipFile(folder / "x.pth", "w") as file:
        for member, data in members.items():
            value = PROTO + b"}" + text("w") + data + b"s." if member.endswith(".pkl") else data
            file.writestr(f"a/{member}", value)
        file.writestr("a/data/0", WEIGHT.numpy().tobytes())
    refuses(folder / "x.pth", message)
    assert_nothing_ran(folder)


def test_an_archive_that_unpacks_to_many_times_its_size(folder: Path) -> None:
    with zipfile.ZipFile(archive(folder / "x.pth", b"N"), "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data/1", bytes(100_000_000))
    refuses(folder / "x.pth", "unpacks to many times its size")


def test_an_archive_compressed_by_another_program(folder: Path) -> None:
    weights = read_weights(archive(folder / "x.pth", b"N", zipfile.ZIP_DEFLATED))
    assert torch.equal(weights.tensors["w"], WEIGHT)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("order", ["C", "F"])
def test_reads_pickles_of_numpy_arrays(protocol: int, order: Any, tmp_path: Path) -> None:
    arrays = {
        "w": np.asarray(np.arange(6, dtype="f4").reshape(2, 3), order=order),
        "half": np.ones(3, "f2"),
        "big": np.arange(3, dtype=">f8"),
        "count": np.array(7),
        "empty": np.zeros((0, 4), "f4"),
    }
    beside = {"names": np.array(["a", "bc"]), "ap": np.float64(0.5), "objects": np.array([1, None]), "seen": {1, 2}}
    content = {"model": arrays, "__author__": "x", "matching_heuristics": True, "beside": beside}
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(content, protocol))
    weights = read_weights(tmp_path / "x.pkl")
    for key, expected in arrays.items():
        assert np.array_equal(weights.tensors[key].numpy(), expected)
        assert weights.tensors[key].dtype == (torch.int64 if key == "count" else torch.float32)
    rest = {"names": ["a", "bc"], "ap": 0.5, "seen": [1, 2]}
    assert weights.rest == {"__author__": "x", "matching_heuristics": True, "beside": rest}


def test_reads_a_pickle_of_python_2(tmp_path: Path) -> None:
    """Detectron2's zoo was written by Python 2 in part: protocol 2, texts as bytes in latin1."""
    short = lambda raw: b"U" + bytes([len(raw)]) + raw  # noqa: E731
    data = np.array([1.0, -2.0], "<f4").tobytes()
    dtype = name("numpy", "dtype") + args(short(b"f4"), b"K\x00K\x01") + b"R"
    dtype += args(b"K\x03", short(b"<"), b"NNN", number(-1), number(-1), b"K\x00") + b"b"
    made = name("numpy.core.multiarray", "_reconstruct") + args(name("numpy", "ndarray"), b"K\x00\x85", short(b"b"))
    made += b"R" + args(b"K\x01K\x02\x85", dtype, b"\x89", short(data)) + b"b"
    pickled = (
        b"\x80\x02}("
        + short(b"model")
        + b"}"
        + short(b"w")
        + made
        + b"s"
        + short(b"author")
        + short(b"J\xf6rg")
        + b"u."
    )
    (tmp_path / "x.pkl").write_bytes(pickled)
    weights = read_weights(tmp_path / "x.pkl")
    assert torch.equal(weights.tensors["w"], torch.tensor([1.0, -2.0]))
    assert weights.rest == {"author": "J\xf6rg"}


LAYOUTS: dict[str, Callable[[], torch.Tensor]] = {
    "a view": lambda: torch.arange(12.0).reshape(3, 4)[1:, 2:],
    "transposed": lambda: torch.arange(6.0).reshape(2, 3).t(),
    "channels last": lambda: torch.arange(24.0).reshape(1, 2, 3, 4).to(memory_format=torch.channels_last),
    "a scalar": lambda: torch.tensor(3.5),
    "empty": lambda: torch.zeros(0, 4),
    "expanded": lambda: torch.ones(1).expand(5),
    "a parameter": lambda: torch.nn.Parameter(torch.ones(2)),
    "float8": lambda: torch.ones(3).to(torch.float8_e4m3fn),
    "bool": lambda: torch.tensor([True, False]),
    "uint8": lambda: torch.arange(3, dtype=torch.uint8),
    "half": lambda: torch.arange(3.0).half(),
    "bfloat16": lambda: torch.arange(3.0).bfloat16(),
    "float8 of wide range": lambda: torch.arange(3.0).to(torch.float8_e5m2),
    "expanded twice": lambda: torch.arange(2.0)[:, None].expand(2, 3).t(),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("zipped", [True, False])
def test_reads_every_layout_of_tensors(layout: str, zipped: bool, tmp_path: Path) -> None:
    tensor = LAYOUTS[layout]()
    torch.save({"w": tensor, "same": tensor}, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
    tensors = read_weights(tmp_path / "x.pth").tensors
    expected = tensor.detach().float() if tensor.is_floating_point() else tensor
    for read in tensors.values():
        assert read.dtype == expected.dtype
        assert torch.equal(read, expected)
    assert tensors["w"].data_ptr() != tensors["same"].data_ptr() or not tensor.numel()


UNREAD: dict[str, Callable[[], torch.Tensor]] = {
    "sparse": lambda: torch.eye(2).to_sparse(),
    "sparse ": lambda: torch.eye(2).to_sparse_csr(),
    "quantized": lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
    "without values": lambda: torch.empty(2, device="meta"),
    "nested": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    "negated": lambda: torch.ones(2, dtype=torch.complex64).conj().imag,
    "complex64": lambda: torch.tensor([1 + 2j]),
    "float4": lambda: torch.zeros(2, dtype=torch.uint8).view(torch.float4_e2m1fn_x2),
}


@pytest.mark.parametrize("kind", UNREAD)
def test_names_a_tensor_that_is_not_read(kind: str, tmp_path: Path) -> None:
    """In the model; beside it, it does not matter."""
    tensor = UNREAD[kind]()
    torch.save({"model": {"w": WEIGHT}, "beside": {"w": tensor}}, tmp_path / "beside.pth")
    assert torch.equal(read_weights(tmp_path / "beside.pth").tensors["w"], WEIGHT)
    torch.save({"model": {"w": WEIGHT, "body.bias": tensor}}, tmp_path / "x.pth")
    refuses(tmp_path / "x.pth", f"body.bias: .*{kind.strip()}")


def test_a_file_without_its_end(folder: Path) -> None:
    for zipped in (True, False):
        torch.save({"w": torch.zeros(1000)}, "x.pth", _use_new_zipfile_serialization=zipped)
        whole = (folder / "x.pth").read_bytes()
        for length in range(1, len(whole), 97):
            (folder / "x.pth").write_bytes(whole[:length])
            refuses(folder / "x.pth", "damaged|part of the file")


def test_changed_bytes_never_end_in_a_traceback(tmp_path: Path) -> None:
    file = io.BytesIO()
    torch.save({"model": {"w": torch.ones(2)}, "args": {"lr": 0.1}}, file, _use_new_zipfile_serialization=False)
    generator = np.random.default_rng(0)
    for _ in range(500):
        changed = bytearray(file.getvalue())
        changed[generator.integers(len(changed))] = generator.integers(256)
        (tmp_path / "x.pth").write_bytes(changed)
        try:
            read_weights(tmp_path / "x.pth")
        except EdgekitError:
            continue
