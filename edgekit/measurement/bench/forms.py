"""The forms of models to measure, and how each is opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgekit.artifacts.manifest import is_parts
from edgekit.artifacts.model_names import KINDS, kind_of, resolve
from edgekit.artifacts.onnx_files import open_onnx
from edgekit.artifacts.pack_files import read_packs
from edgekit.errors import EdgekitError
from edgekit.model.hints import CheckpointHints
from edgekit.runtime.gpu import Gpu, NoGpu
from edgekit.runtime.opening import TAKE_PACKS, open_session
from edgekit.runtime.selection import Selection
from edgekit.runtime.session import Session


@dataclass(frozen=True)
class Form:
    """A model as one runtime is to run it; ``provider`` is onnxruntime's, "" for its default; ``name`` is unique."""

    model: str
    name: str
    provider: str = ""
    compiled: bool = False
    hints: CheckpointHints = CheckpointHints()
    packs: tuple[Path, ...] = ()


def forms(
    models: Sequence[str | Path],
    providers: Sequence[str] = (),
    compiled: bool = False,
    hints: CheckpointHints = CheckpointHints(),
    packs: tuple[Path, ...] = (),
) -> list[Form]:
    """Each model once; an ONNX file on each provider named, a checkpoint also compiled if that is asked for."""
    from edgekit.runtime.onnx_session import PROVIDERS

    for provider in providers:
        if provider not in PROVIDERS:
            raise EdgekitError(
                f"--providers {provider}: not a provider of onnxruntime", f"give some of {','.join(PROVIDERS)}"
            )
    # Opening a file tells what is wrong with it if its name says nothing.
    kinds = [(model, _kind(Path(model))) for model in map(str, models)]
    if hints != CheckpointHints() and all(kind != "checkpoint" for _, kind in kinds):
        raise EdgekitError(
            "--base-classes, --architecture, --settings: are about a checkpoint, and none is given", "omit them"
        )
    found = []
    for model, kind in kinds:
        if kind in ("onnx", "parts") and providers:
            found += [Form(model, f"{model} on {p}" if len(providers) > 1 else model, p) for p in providers]
        elif kind == "checkpoint":
            found.append(Form(model, model, hints=hints))
            found += [Form(model, f"{model}, compiled", compiled=True, hints=hints)] if compiled else []
        else:
            found.append(Form(model, model))
    if packs:
        found = [replace(form, packs=packs) if _kind(Path(form.model)) in TAKE_PACKS else form for form in found]
    return [_renamed(form, found[:place]) for place, form in enumerate(found)]


def open_form(form: Form, threads: int = 0, trace: str = "") -> Session:
    """Open a form; ``threads`` and ``trace`` are onnxruntime's (see OnnxSession). Raises EdgekitError, always."""
    path = resolve(form.model)
    try:
        packs = read_packs(form.packs)
        if kind_of(path) == "onnx":
            from edgekit.graphs.appending import with_packs_appended
            from edgekit.runtime.onnx_session import OnnxSession

            file = with_packs_appended(open_onnx(path), packs) if packs else path
            return OnnxSession(file, form.provider, threads, trace)
        if kind_of(path) == "parts":
            from edgekit.runtime.parts_session import PartsSession

            return PartsSession(path, None, form.provider, threads, trace)
        if form.compiled:
            from edgekit.runtime.torch_session import TorchSession, compile_session

            return compile_session(TorchSession.load(form.model, form.hints, packs))
        return open_session(form.model, Selection(packs=form.packs), form.hints)
    except EdgekitError:
        raise
    except ImportError as error:
        package = (error.name or "its runtime").split(".")[0]
        raise EdgekitError(
            f"{form.model}: its runtime is not installed: {error}",
            f"pip install {package}, or see edgekit doctor",
        ) from None
    except Exception as error:  # what a driver, PyTorch or TensorRT raises of its own
        raise failed(form.model, error) from error


def fallen_back(form: Form, session: Session, gpu: Gpu | NoGpu) -> tuple[str, ...]:
    """A note where a form runs on the CPU of a machine that has an NVIDIA GPU or driver, unless that was asked for."""
    if form.provider or not session.runtime.endswith(" cpu"):
        return ()
    if isinstance(gpu, Gpu):
        return (f"runs on the CPU, though there is a {gpu.name}: edgekit doctor says why",)
    return (f"runs on the CPU: {gpu.reason} ({gpu.remedy})",) if gpu.broken else ()


def failed(name: str, error: Exception) -> EdgekitError:
    """What a runtime's own exception means for the user."""
    if isinstance(error, EdgekitError):
        return error
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return EdgekitError(f"{name}: cannot be run here: {reason}", "look at edgekit doctor")


def _kind(path: Path) -> str:
    return "parts" if is_parts(path) else KINDS.get(path.suffix.lower(), "checkpoint")


def _renamed(form: Form, earlier: Sequence[Form]) -> Form:
    """The same model given twice is measured twice, under two names."""
    same = sum(form.name == other.name for other in earlier)
    return form if not same else replace(form, name=f"{form.name} #{same + 1}")
