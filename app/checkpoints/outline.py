"""Gate 2: what a pickle would build, found by walking its instructions; nothing is built or called.

The walk is a small machine with the instructions and the six kinds of object that a plain state
dict needs. Containers are never shared, so that what comes out is a tree: no recursion, no sharing
that grows exponentially, no container as a key.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, NoReturn

from app.checkpoints.errors import SAVE_AGAIN, CheckpointError, shown
from app.checkpoints.limits import (
    DIMS,
    FILE_TENSORS,
    MB,
    NESTING,
    PICKLE_OPS,
    TENSOR_BYTES,
)
from app.checkpoints.vocabulary import GLOBALS, ITEM_BYTES, STORAGES, foreign

__all__ = ["TensorOutline", "outline"]

_PLAIN = (type(None), bool, int, float, str)


@dataclass(frozen=True)
class TensorOutline:
    """A tensor that a file describes.

    Args:
        dtype: torch's name of it.
        shape: sizes, at most 8; an expanded tensor claims more numbers than the file holds.
    """

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class _Global:
    name: str


@dataclass(frozen=True)
class _Storage:
    dtype: str
    numel: int


class _Ordered(dict):  # an OrderedDict, the only object that a state may be set on
    pass


def outline(pickled: bytes, storages: Mapping[str, int]) -> Any:
    """What a torch.save pickle holds: dicts, lists, tuples, plain values and `TensorOutline`s.

    Args:
        pickled: the bytes of data.pkl.
        storages: key -> bytes of each storage in the archive.

    Returns:
        The outermost value; nested at most 8 deep, with at most 8,000 tensors, each of which lies
        inside its storage.

    Raises:
        CheckpointError: the pickle asks for anything else.
    """
    machine = _Machine(storages)
    try:
        value = machine.run(pickled)
    except CheckpointError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
        _refuse("is damaged", "what torch.save writes", error)
    _check_tree(value)
    return value


def _refuse(what: str, expected: str, cause: Exception | None = None) -> NoReturn:
    raise CheckpointError(f"the file's pickle {what}", expected, SAVE_AGAIN) from cause


def _check_tree(value: Any) -> None:
    """Its depth, its leaves and its tensors; level by level, never by recursion."""
    level, tensors = [value], 0
    for _ in range(NESTING + 1):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list | tuple):
                inner.extend(item)
            elif isinstance(item, TensorOutline):
                tensors += 1
            elif type(item) not in _PLAIN:
                _refuse("leaves a function or a storage as a value", "tensors and plain values")
        level = inner
    if level:
        _refuse(f"nests values more than {NESTING} deep", "a state dict and plain values")
    if tensors > FILE_TENSORS:
        raise CheckpointError(
            f"the file holds {tensors} tensors",
            f"at most {FILE_TENSORS}",
            "save the weights alone, torch.save(model.state_dict(), 'model.pt')",
        )


class _Machine:
    """The stack, the marks and the memo of an unpickler that calls nothing."""

    def __init__(self, storages: Mapping[str, int]) -> None:
        self._bytes = storages
        self._used: dict[str, _Storage] = {}
        self._stack: list[Any] = []
        self._outer: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def run(self, pickled: bytes) -> Any:
        end = 0
        for count, (op, arg, at) in enumerate(pickletools.genops(pickled)):
            if count == 0 and (op.name, arg) != ("PROTO", 2):
                _refuse("is not of protocol 2", "torch.save's default pickle_protocol")
            if count > PICKLE_OPS:
                _refuse(f"has more than {PICKLE_OPS} instructions", "tensors and few other values")
            step = _STEPS.get(op.name)
            if step is None:
                _refuse(f"uses the instruction {op.name}", "only those of a plain state dict")
            step(self, arg)
            end = (at or 0) + 1
        if end != len(pickled):
            _refuse("goes on behind its end", "one pickle")
        if len(self._stack) != 1 or self._outer:
            _refuse("leaves values behind", "one value")
        return self._stack[0]

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def proto(self, version: Any) -> None:
        if self._stack or version != 2:
            _refuse("changes its protocol", "protocol 2")

    def integer(self, value: Any) -> None:
        if abs(value) >= 2**64:
            _refuse("holds an integer of more than 64 bits", "plain numbers")
        self.push(value)

    def name(self, name: Any) -> None:
        if name not in GLOBALS:
            raise foreign(name)
        self.push(_Global(name))

    def mark(self, _: Any) -> None:
        if len(self._outer) > 4 * NESTING:
            _refuse(f"nests values more than {NESTING} deep", "a state dict and plain values")
        self._outer.append(self._stack)
        self._stack = []

    def pop_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._outer.pop()
        return items

    def put(self, index: Any) -> None:
        self._memo[index] = self._stack[-1]

    def get(self, index: Any) -> None:
        value = self._memo[index]
        if isinstance(value, list | dict | tuple) and not _is_betas(value):
            raise CheckpointError(
                "the file's pickle holds one container in two places",
                "every list and dictionary once",
                "save a copy of it in the second place, or the weights alone, "
                "torch.save(model.state_dict(), 'model.pt')",
            )
        self.push(value)

    def pop(self, count: int) -> list[Any]:
        return [self._stack.pop() for _ in range(count)][::-1]

    def append(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not list:
            _refuse("appends to what is no list", "plain lists")
        target.extend(items)

    def set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            _refuse("sets items of what is no dictionary", "plain dictionaries")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) not in (str, int):
                _refuse(f"has a {type(key).__name__} as a key", "names and numbers as keys")
            if key in target:
                _refuse(f"holds the name {shown(key)} twice", "every name once")
            target[key] = value

    def build(self, _: Any) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        if type(target) is not _Ordered or type(state) is not dict or set(state) != {"_metadata"}:
            _refuse("sets the state of an object", "nothing but a state dict's _metadata")

    def storage(self, _: Any) -> None:
        match self._stack.pop():
            case ("storage", _Global(name), str(key), str(location), int(numel)) if (
                name in STORAGES and location != "meta" and len(location) < 32
            ):
                found = _Storage(STORAGES[name], numel)
            case _:
                _refuse("describes a storage in an unknown way", "what torch.save writes")
        if numel * ITEM_BYTES[found.dtype] != self._bytes.get(key):
            _refuse(
                f"claims {shown(numel)} {found.dtype} numbers in storage {shown(key)}, which has "
                f"{self._bytes.get(key, 0)} bytes",
                "storages as large as they claim",
            )
        if self._used.setdefault(key, found) != found:
            _refuse(f"reads storage {shown(key)} as two number types", "one type a storage")
        self.push(found)

    def reduce(self, _: Any) -> None:
        args, function = self._stack.pop(), self._stack.pop()
        match function, args:
            case _Global("collections OrderedDict"), tuple(()):
                self.push(_Ordered())
            case (
                _Global("torch._utils _rebuild_tensor_v2"),
                (_Storage() as storage, offset, tuple(shape), tuple(stride), bool(grad), {**hooks}),
            ) if not hooks:
                self.push(_view(storage, offset, shape, stride, grad))
            case (
                _Global("torch._utils _rebuild_parameter"),
                (TensorOutline() as tensor, bool(), {**hooks}),
            ) if not hooks and "float" in tensor.dtype:
                self.push(tensor)
            case _:
                _refuse("calls a function in an unknown way", "plain tensors and values")


def _is_betas(value: list[Any] | dict[Any, Any] | tuple[Any, ...]) -> bool:
    """The few numbers that optimizers share between their groups; sharing those can't multiply."""
    return isinstance(value, tuple) and len(value) <= 4 and all(type(v) in _PLAIN for v in value)


def _view(
    storage: _Storage, offset: Any, shape: tuple[Any, ...], stride: tuple[Any, ...], grad: bool
) -> TensorOutline:
    asked = f"describes a tensor of shape {shown(shape)}"
    whole = all(type(n) is int and 0 <= n < 2**63 for n in (offset, *shape, *stride))
    if not whole or len(shape) != len(stride) or len(shape) > DIMS:
        _refuse("describes a tensor in an unknown way", f"at most {DIMS} dimensions, all whole")
    if grad and "float" not in storage.dtype:
        _refuse(f"asks for gradients of a {storage.dtype} tensor", "them of floating point alone")
    last = sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
    span = offset + last + 1 if 0 not in shape else 0
    if span > storage.numel:
        _refuse(
            f"{asked} that reaches to number {span} of a storage of {storage.numel}",
            "tensors inside their storages",
        )
    if prod(max(n, 1) for n in shape) * ITEM_BYTES["float32"] > TENSOR_BYTES:
        _refuse(f"{asked}", f"at most {TENSOR_BYTES // MB} MB of them as float32")
    return TensorOutline(storage.dtype, shape)


_Step = Callable[[_Machine, Any], None]


def _constant(value: Any) -> _Step:
    return lambda machine, _: machine.push(value)


_STEPS: dict[str, _Step] = {
    "PROTO": _Machine.proto,
    "STOP": lambda *_: None,
    "NONE": _constant(None),
    "NEWTRUE": _constant(True),
    "NEWFALSE": _constant(False),
    "BININT": _Machine.integer,
    "BININT1": _Machine.integer,
    "BININT2": _Machine.integer,
    "LONG1": _Machine.integer,
    "BINFLOAT": _Machine.push,
    "BINUNICODE": _Machine.push,
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_TUPLE": _constant(()),
    "MARK": _Machine.mark,
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_mark())),
    "TUPLE1": lambda machine, _: machine.push(tuple(machine.pop(1))),
    "TUPLE2": lambda machine, _: machine.push(tuple(machine.pop(2))),
    "TUPLE3": lambda machine, _: machine.push(tuple(machine.pop(3))),
    "APPEND": lambda machine, _: machine.append(machine.pop(1)),
    "APPENDS": lambda machine, _: machine.append(machine.pop_mark()),
    "SETITEM": lambda machine, _: machine.set_items(machine.pop(2)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_mark()),
    "GLOBAL": _Machine.name,
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.storage,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
}
