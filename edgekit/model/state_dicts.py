"""Finds a model's tensors in what a training script saved: below other keys, behind prefixes, beside other models."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.errors import EdgekitError
from edgekit.model.pickle_values import OMITTED, Placeholder, is_tensor, plain
from edgekit.model.torch_archives import SAVE_AGAIN

# What an R-CNN's tensors are known by: torchvision's and Detectron2's classifier, and MMDetection's.
MARKERS = ("roi_heads.box_predictor.cls_score.weight", "roi_head.bbox_head.fc_cls.weight")
WRAPPERS = ("model", "state_dict", "model_state_dict")  # keys that training scripts keep the weights under
PREFIXES = ("module.", "model.")  # what DataParallel and Lightning put before the names of any model
# What torch.compile, activation checkpoints and FSDP put into the names, anywhere.
INSERTED = {"_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module"}
# Keys and prefixes that say nothing about which of several models one is.
PLAIN = {*WRAPPERS, *INSERTED, "module", "_forward_module", "net", "network", "detector", "weights"}
AVERAGE = re.compile(r"(^|_)(ema|swa)(_|$)|averag", re.IGNORECASE)
BESIDE = re.compile(r"(^|_)(criterion|loss|losses|metrics?)(_|$)")  # what keeps buffers of its own beside a model
MAX_NESTING = 32
MAX_MODELS = 20


@dataclass(frozen=True)
class StateDict:
    """A model's tensors by the names that they have in the model itself, and what else the file holds."""

    tensors: dict[str, Any]
    rest: dict[str, Any]  # plain data
    notes: tuple[str, ...]  # what was chosen or left out


@dataclass(frozen=True)
class _Candidate:
    path: tuple[str, ...]  # the keys that lead to the table
    table: dict[str, Any]  # tensors by name, without INSERTED
    prefix: str

    def __str__(self) -> str:
        return shown(".".join((*self.path, self.prefix.rstrip("."))).strip(".") or "the top level")

    @property
    def words(self) -> list[str]:
        return [*self.path, *filter(None, self.prefix.split("."))]


def find_state(content: Any, path: Path) -> StateDict:
    """The model in ``content``, which was read from ``path``.

    Raises EdgekitError where there is none, or where it is not clear which of several is meant.
    """
    tables = list(_tables(content, path))
    candidates = [
        _Candidate(keys, table, name.removesuffix(marker))
        for keys, table in tables
        for name in table
        for marker in MARKERS
        if name == marker or name.endswith(f".{marker}")
    ]
    if not candidates:
        keys, table = _any_model(content, tables, path)
        return StateDict(_without_prefix(table), _rest(content, keys), ())
    chosen = _choose(candidates, path)
    others = [c for c in candidates if c is not chosen]
    inner = tuple(c.prefix for c in others if c.table is chosen.table and c.prefix.startswith(chosen.prefix))
    kept, left_out = {}, []
    for name, tensor in chosen.table.items():
        own = name.removeprefix(chosen.prefix)
        beside = (inner and name.startswith(inner)) or BESIDE.search(own.split(".")[0])
        if name.startswith(chosen.prefix) and not beside:
            kept[own] = tensor
        else:
            left_out.append(name)
    notes = []
    if others:
        notes.append(f"the model is {chosen}; left out: {', '.join(map(str, others))}")
    if left_out:
        more = f" and {len(left_out) - 5} more" if len(left_out) > 5 else ""
        notes.append(f"tensors beside the model, left out: {', '.join(map(shown, left_out[:5]))}{more}")
    return StateDict(kept, _rest(content, chosen.path), tuple(notes))


def shown(name: object) -> str:
    """A name from a file as part of one line."""
    text = str(name)[:80]
    return text if text.isprintable() else ascii(text)


def _tables(content: Any, path: Path) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """All dictionaries with tensors, at any depth, and the keys (or places in a list) that lead to each."""
    left: list[tuple[tuple[str, ...], Any]] = [((), content)]
    seen = set()
    for keys, value in left:
        if id(value) in seen or len(keys) > MAX_NESTING:
            continue
        seen.add(id(value))
        mapping = _mapping(value) or {}
        named = {k: v for k, v in mapping.items() if isinstance(k, str)}
        table = {_in_model(k): v for k, v in named.items() if is_tensor(v)}
        if len(table) < sum(map(is_tensor, named.values())):
            raise EdgekitError(f"{path}: holds tensors of one name twice, compiled and not", f"save them {SAVE_AGAIN}")
        if table:
            yield keys, table
        left.extend(((*keys, k), v) for k, v in _parts(value) if isinstance(v, dict | list | tuple | Placeholder))


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """What lies in a value of a pickle, by key or by place."""
    if isinstance(value, list | tuple):
        yield from ((str(place), part) for place, part in enumerate(value))
    else:
        yield from ((str(k), v) for k, v in (_mapping(value) or {}).items() if isinstance(k, str | int))


def _mapping(value: Any) -> dict[Any, Any] | None:
    if isinstance(value, Placeholder):
        return value.attributes | value.items
    return value if isinstance(value, dict) else None


def _in_model(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in INSERTED)


def _choose(candidates: list[_Candidate], path: Path) -> _Candidate:
    """The plain model, or the only one that is no running average of it, or the only one."""
    plain_ones = [c for c in candidates if PLAIN.issuperset(c.words)]
    no_averages = [c for c in candidates if not any(map(AVERAGE.search, c.words))]
    fitting = plain_ones or no_averages or candidates
    if len(fitting) == 1 and len(candidates) <= MAX_MODELS:
        return fitting[0]
    raise EdgekitError(
        f"{path}: holds {len(candidates)} models: {', '.join(map(str, candidates[:5]))}",
        f"save the one that you mean {SAVE_AGAIN}",
    )


def _any_model(
    content: Any, tables: list[tuple[tuple[str, ...], dict[str, Any]]], path: Path
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The tensors of a model that is no R-CNN edgekit knows, where training scripts keep them."""
    keys: tuple[str, ...] = ()
    while isinstance(content, dict):
        wrapped = next((k for k in WRAPPERS if isinstance(content.get(k), dict | Placeholder)), None)
        if wrapped is None or len(keys) > MAX_NESTING:
            break
        keys, content = (*keys, wrapped), content[wrapped]
    for found, table in tables:
        if found == keys and not isinstance(content, Placeholder):
            return keys, table
    raise _no_weights(content, path)


def _no_weights(content: Any, path: Path) -> EdgekitError:
    remedy = f"save them {SAVE_AGAIN}"
    values = content.values() if isinstance(content, dict) else (content,)
    for value in values:
        if isinstance(value, Placeholder) and (value is content or "_modules" in value.attributes):
            what = f"holds Python objects ({shown(value.name)}), such as a whole pickled model"
            return EdgekitError(f"{path}: {what}; edgekit reads only weights", remedy)
    if not isinstance(content, dict):
        what = "a single tensor" if is_tensor(content) else f"a {type(content).__name__}"
        return EdgekitError(f"{path}: holds {what}, not weights by name", remedy)
    if "optimizer" in content or "param_groups" in content:
        return EdgekitError(f"{path}: holds an optimizer's state and no weights", remedy)
    held = ", ".join(shown(k) for k in list(content)[:5]) or "nothing"
    return EdgekitError(f"{path}: holds no weights but {held}", remedy)


def _without_prefix(tensors: dict[str, Any]) -> dict[str, Any]:
    while prefix := next((p for p in PREFIXES if tensors and all(n.startswith(p) for n in tensors)), None):
        tensors = {n.removeprefix(prefix): t for n, t in tensors.items()}
    return tensors


def _rest(content: Any, keys: tuple[str, ...]) -> dict[str, Any]:
    """What stands at the top level beside the model, without tensors."""
    mapping = _mapping(content) or {}
    named = {k: plain(v) for k, v in mapping.items() if isinstance(k, str) and (k,) != keys[:1]}
    return {k: v for k, v in named.items() if v is not OMITTED}
