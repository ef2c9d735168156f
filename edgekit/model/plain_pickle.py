"""Reads a pickle as plain data and tensors: imports nothing and calls nothing that the pickle names."""

from __future__ import annotations

import io
import pickletools
from pickle import UnpicklingError
from typing import Any

from edgekit.model.pickle_calls import CALLS, COPIES, named, storage
from edgekit.model.pickle_values import ArrayType, Named, Placeholder, Storage, StoredArray, key_of

# Most opcodes make one object at most, and data lies in the file itself, so these two bound the memory.
MAX_OPCODES = 1_000_000  # a detector's checkpoint has 10,000, with an optimizer's state 50,000
MAX_COPIED = 2**24  # bytes that calls may copy, beside four times the size of the file
ENTRY = 100  # bytes of an entry of a dictionary or list
MAX_BITS = 1024  # of a whole number
# Opcodes that push what stands in the pickle.
NUMBERS = {"INT", "LONG", "LONG1", "LONG4", "BININT", "BININT1", "BININT2", "FLOAT", "BINFLOAT"}
TEXTS = {"STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
CONSTANTS = NUMBERS | TEXTS | {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8"}
VALUES = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
NO_EFFECT = frozenset(("PROTO", "FRAME", "STOP"))
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def load_plain(file: io.BytesIO) -> tuple[Any, dict[str, Storage]]:
    """The value of the pickle that starts at the file's position, and the storages it names by their keys.

    The file is left at the pickle's end. Raises UnpicklingError, or what reading damaged data raises.
    """
    machine = _Machine(4 * file.getbuffer().nbytes + MAX_COPIED)
    for number, (opcode, arg, _) in enumerate(pickletools.genops(file)):
        if number >= MAX_OPCODES:
            raise UnpicklingError(f"a pickle of more than {MAX_OPCODES:,} steps, which no weights need")
        machine.step(opcode.name, arg)
    return machine.pop(), machine.storages


class _Machine:
    """Pickle's stack machine without its way to Python's names."""

    def __init__(self, copied: int) -> None:
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []  # the stacks below each mark
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}
        self.copied = copied  # bytes that calls may still copy

    def step(self, name: str, arg: Any) -> None:
        if name in CONSTANTS:
            if isinstance(arg, int) and arg.bit_length() > MAX_BITS:
                raise UnpicklingError("a whole number of absurd size")
            self.stack.append(arg)
        elif name in VALUES:
            self.stack.append(VALUES[name])
        elif name in TUPLES:
            values = [self.pop() for _ in range(TUPLES[name])]
            self.stack.append(tuple(reversed(values)))
        elif name not in NO_EFFECT:
            method = getattr(self, f"op_{name.lower()}", None)
            if method is None:  # copyreg's extensions, buffers out of band
                raise UnpicklingError(f"the pickle opcode {name}, which no weights need")
            if arg is None:
                method()
            else:
                method(arg)

    def pop(self) -> Any:
        return self.stack.pop()

    def to_mark(self) -> list[Any]:
        """What was pushed since the last mark."""
        values, self.stack = self.stack, self.marked.pop()
        return values

    # The stack and the memo

    def op_mark(self) -> None:
        self.marked.append(self.stack)
        self.stack = []

    def op_pop(self) -> None:
        if self.stack:
            self.pop()
        else:
            self.to_mark()

    op_pop_mark = to_mark

    def op_dup(self) -> None:
        self.stack.append(self.stack[-1])

    def op_memoize(self) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def op_put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def op_get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    op_binput = op_long_binput = op_put
    op_binget = op_long_binget = op_get

    # Containers

    def op_bytearray8(self, data: bytearray) -> None:
        self.stack.append(bytes(data))

    def op_empty_list(self) -> None:
        self.stack.append([])

    def op_empty_dict(self) -> None:
        self.stack.append({})

    def op_empty_set(self) -> None:
        self.stack.append(set())

    def op_list(self) -> None:
        values = self.to_mark()  # which changes what self.stack is
        self.stack.append(values)

    def op_tuple(self) -> None:
        values = tuple(self.to_mark())
        self.stack.append(values)

    def op_frozenset(self) -> None:
        values = frozenset(key_of(v) for v in self.to_mark())
        self.stack.append(values)

    def op_dict(self) -> None:
        values = self.to_mark()
        self.stack.append({})
        self._set_items(values)

    def op_append(self) -> None:
        self._extend([self.pop()])

    def op_appends(self) -> None:
        self._extend(self.to_mark())

    def op_setitem(self) -> None:
        value, key = self.pop(), self.pop()
        self._set_items([key, value])

    def op_setitems(self) -> None:
        self._set_items(self.to_mark())

    def op_additems(self) -> None:
        values, target = self.to_mark(), self.stack[-1]
        if isinstance(target, set):
            target.update(key_of(v) for v in values)
        elif isinstance(target, Placeholder):
            target.values.extend(values)

    def _extend(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Placeholder):
            target.values.extend(values)
        elif isinstance(target, list):
            target.extend(values)

    def _set_items(self, values: list[Any]) -> None:
        target = self.stack[-1]
        items = target.items if isinstance(target, Placeholder) else target
        if isinstance(items, dict):  # on anything else, such as a module, nothing is set
            items |= {key_of(k): v for k, v in zip(values[::2], values[1::2], strict=True)}

    # Objects

    def op_global(self, name: str) -> None:
        module, _, attribute = name.partition(" ")
        self.stack.append(named(module, attribute))

    def op_stack_global(self) -> None:
        attribute, module = self.pop(), self.pop()
        if not isinstance(module, str) or not isinstance(attribute, str):
            raise UnpicklingError("a name that is no text")
        self.stack.append(named(module, attribute))

    def op_reduce(self) -> None:
        args, function = self.pop(), self.pop()
        self._call(function, args)

    op_newobj = op_reduce

    def op_newobj_ex(self) -> None:
        self.pop()  # arguments by keyword
        self.op_reduce()

    def op_inst(self, name: str) -> None:
        module, _, attribute = name.partition(" ")
        self._call(named(module, attribute), tuple(self.to_mark()))

    def op_obj(self) -> None:
        kind, *args = self.to_mark()
        self._call(kind, tuple(args))

    def _call(self, function: Any, args: Any) -> None:
        if not isinstance(args, tuple):
            raise UnpicklingError("a call without arguments")
        if isinstance(function, Named) and function.name == "copyreg.__newobj__" and args:
            function, args = args[0], args[1:]
        name = function.name if isinstance(function, Named | Placeholder) else f"builtins.{type(function).__name__}"
        if not isinstance(function, Named) or name not in CALLS:
            self._spend(ENTRY * sum(len(a) for a in args[:1] if isinstance(a, dict)))
            self.stack.append(Placeholder(name, args))
            return
        if name in COPIES:
            self._spend(sum(_cost(a) for a in args))
        self.stack.append(CALLS[name](*args))

    def _spend(self, copied: int) -> None:
        self.copied -= copied
        if self.copied < 0:
            raise UnpicklingError("a pickle that copies its data again and again")

    def op_build(self) -> None:
        state, target = self.pop(), self.stack[-1]
        if isinstance(target, Placeholder):
            self._spend(ENTRY * sum(len(p) for p in (state, *_pair(state)) if isinstance(p, dict)))
        if isinstance(target, Placeholder | StoredArray | ArrayType):
            target.build(state)

    def op_binpersid(self) -> None:
        self._persistent(self.pop())

    def _persistent(self, identity: Any) -> None:
        kind = identity[0] if isinstance(identity, tuple) and len(identity) > 1 else None
        if kind == "module":  # the old format's class of a whole pickled module, with its source
            self.stack.append(identity[1])
        elif kind == "storage":
            found = storage(identity)
            self.storages.setdefault(found.key, found)
            self.stack.append(found)
        else:
            raise UnpicklingError("data outside of the file")


def _pair(state: Any) -> tuple[Any, ...]:
    return state if isinstance(state, tuple) and len(state) == 2 else ()


def _cost(value: Any) -> int:
    """How many bytes a copy of a value takes."""
    if isinstance(value, str | bytes):
        return len(value)
    return ENTRY * len(value) if isinstance(value, list | tuple | dict | set | frozenset) else 0
