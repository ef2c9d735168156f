"""Fields of a config of plain data, each read as the kind it has to be, and named in every error."""

from __future__ import annotations

import ast
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from edgekit.errors import EdgekitError

DEEPEST, LONGEST = 40, 1000  # levels of a value; numbers of a list
_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxother = 3, 80


class Inert:
    """Stands for what a config would compute; edgekit runs no code of a file."""

    def __repr__(self) -> str:
        return "code"


INERT = Inert()
MISSING: Any = object()


@dataclass
class ConfigFields:
    """A config's values by dotted name ("MODEL.RPN.NMS_THRESH"), and the settings that were taken from them."""

    values: Mapping[str, Any]
    file: str  # that errors name
    said: dict[str, Any] = field(default_factory=dict)  # settings that the config gives
    assumed: dict[str, Any] = field(default_factory=dict)  # settings that it does not

    def find(self, *names: str, default: Any = MISSING) -> Any:
        """The value under the first of these names that there is; None counts as a value."""
        for name in names:
            value: Any = self.values
            for key in name.split("."):
                value = value.get(key, MISSING) if isinstance(value, Mapping) else MISSING
            if value is not MISSING:
                return _literal(value)
        return default

    def take(self, setting: str, value: Any, default: Any) -> Any:
        """Note a setting's value, or its default where ``value`` is missing."""
        (self.assumed if value is MISSING else self.said)[setting] = default if value is MISSING else value
        return default if value is MISSING else value

    def refuse(self, name: str, value: Any, supported: str) -> NoReturn:
        """Raise, naming the field, its value, and what is supported."""
        raise EdgekitError(f"{self.file}: {name} {_shown(value)}: is not supported", f"edgekit reads {supported}")

    def expect(self, name: str, *supported: Any, unless: Any = MISSING) -> None:
        """Raise where a field is there and has a value other than the supported ones."""
        value = self.find(name, default=unless)
        if value is not MISSING and not any(value is s or (_plain(value) and value == s) for s in supported):
            self.refuse(name, value, " or ".join(dict.fromkeys(str(s) or '""' for s in supported)))

    def agree(self, name: str, said: Any, found: Any, what: str) -> None:
        """Raise where the config and the weights disagree."""
        if said is not MISSING and said != found:
            raise EdgekitError(
                f"{self.file}: {name} {_shown(said)}: the weights have {what} {_shown(found)}",
                "give the config that these weights were trained with",
            )

    def number(self, *names: str) -> Any:
        """A number, or MISSING."""
        return self._kind(names, _is_number, "a number")

    def whole(self, *names: str) -> Any:
        """A whole number, or MISSING."""
        return self._kind(names, lambda v: isinstance(v, int) and not isinstance(v, bool), "a whole number")

    def flag(self, *names: str) -> Any:
        """True or False, or MISSING."""
        return self._kind(names, lambda v: isinstance(v, bool), "true or false")

    def text(self, *names: str) -> Any:
        """Text, or MISSING."""
        return self._kind(names, lambda v: isinstance(v, str), "text")

    def numbers(self, *names: str) -> Any:
        """A tuple of numbers, or MISSING."""
        value = self._kind(names, _are_numbers, "a list of numbers")
        return value if value is MISSING else tuple(value)

    def texts(self, *names: str) -> Any:
        """A tuple of texts, or MISSING."""
        value = self._kind(names, _are_texts, "a list of names")
        return value if value is MISSING else tuple(value)

    def lists(self, *names: str) -> Any:
        """A tuple of tuples of numbers, or MISSING."""
        value = self._kind(names, _are_lists, "a list of lists of numbers")
        return value if value is MISSING else tuple(tuple(n) for n in value)

    def _kind(self, names: Sequence[str], fits: Any, what: str) -> Any:
        value = self.find(*names)
        if value is MISSING or fits(value):
            return value
        name = next(n for n in names if self.find(n) is not MISSING)
        raise EdgekitError(f"{self.file}: {name} {_shown(value)}: is not {what}", f"write {what} in its place")


def parse_literal(node: ast.expr, names: Mapping[str, Any], depth: int = 0) -> Any:
    """The value of dict(...), {}, [], (), a constant, -number or a name of ``names``; INERT for all else.

    Raises ValueError for values nested too deep.
    """
    if depth > DEEPEST:
        raise ValueError(f"is nested deeper than {DEEPEST} levels")
    if isinstance(node, ast.Constant):
        return node.value if node.value is None or isinstance(node.value, str | int | float) else INERT
    if isinstance(node, ast.Name):
        return names.get(node.id, INERT)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        value = node.operand.value
        return -value if isinstance(value, int | float) and not isinstance(value, bool) else INERT
    if isinstance(node, ast.List | ast.Tuple):
        return [parse_literal(item, names, depth + 1) for item in node.elts]
    if isinstance(node, ast.Dict) and all(isinstance(key, ast.Constant) for key in node.keys):
        keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
        return {key: parse_literal(v, names, depth + 1) for key, v in zip(keys, node.values, strict=True)}
    if isinstance(node, ast.Call) and _makes_dict(node):
        return {str(k.arg): parse_literal(k.value, names, depth + 1) for k in node.keywords}
    return INERT


def _makes_dict(call: ast.Call) -> bool:
    named = isinstance(call.func, ast.Name) and call.func.id == "dict"
    return named and not call.args and all(keyword.arg is not None for keyword in call.keywords)


def _literal(value: Any) -> Any:
    """Lists and tuples that a config has as text ("(10, 10, 5, 5)") as what they are."""
    if isinstance(value, str) and len(value) < LONGEST and value.startswith(("(", "[")):
        try:
            return parse_literal(ast.parse(value, mode="eval").body, {})
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return value
    return value


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float) or _are_numbers(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) <= LONGEST


def _are_numbers(value: Any) -> bool:
    return _is_list(value) and all(_is_number(n) for n in value)


def _are_lists(value: Any) -> bool:
    return _is_list(value) and all(_are_numbers(inner) for inner in value)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(text, str) for text in value)


def _shown(value: Any) -> str:
    return " ".join(_SHORT.repr(value).split())[:120]
