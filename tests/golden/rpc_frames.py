"""The frames of a link as text: each command with a sample of its call and reply, and each kind of frame."""

from __future__ import annotations

import hashlib
import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any, get_args

import msgpack

import common.rpc
from common.rpc import frames
from common.rpc.commands.command import Command
from common.rpc.commands.host_commands import HOST_EVENT, HOST_UNWATCHED, HostEvent, HostUnwatched
from common.serialization import from_dict, to_dict
from tests.golden.sample_values import enumerations, sample

EVENTS = {HOST_EVENT: HostEvent, HOST_UNWATCHED: HostUnwatched}
_CALL_ID = 7
_LEFT_MS = 120_000
_CREDIT = 64


def commands() -> list[Command[Any, Any]]:
    """Returns all commands of `common/rpc`, by name."""
    names = [one.name for one in pkgutil.walk_packages(common.rpc.__path__, "common.rpc.")]
    modules = [importlib.import_module(name) for name in names]
    found = {one.name: one for module in modules for one in vars(module).values() if isinstance(one, Command)}
    return [found[name] for name in sorted(found)]


def rpc_frames() -> str:
    """Returns each frame as a head with its size and hash, and its values in the order in which they are encoded.

    A sample has all that its type can have; the smallest one what it must have and the defaults.
    """
    lines = ["# Written by python -m tests.golden --write"]
    types = [kind for command in commands() for kind in (command.request, command.reply)]
    for name, values in enumerations([*types, *EVENTS.values()]).items():
        lines += ["", f"enumeration {name}", *(f"  {value}" for value in values)]
    for kind in get_args(frames.Frame):
        lines += _written(f"frame {kind.__name__.lower()}", sample(kind))
    for name, body in sorted(EVENTS.items()):
        lines += _both(f"{name} event", body)
    for command in commands():
        lines += _both(f"{command.name} call", command.request, streams=command.streams)
        lines += _both(f"{command.name} {'item' if command.streams else 'done'}", command.reply)
    return "\n".join(lines) + "\n"


def _both(head: str, kind: type, *, streams: bool = False) -> Iterator[str]:
    """Raises AssertionError if the other end does not read what is sent."""
    values: dict[str, Any] = {"": sample(kind), ", smallest": sample(kind, smallest=True)}
    for words, value in values.items():
        assert from_dict(to_dict(value), kind) == value, f"{head} is not read as it is written"
        if not words or value != values[""]:
            yield from _written(head + words, _frame(head, to_dict(value), credit=_CREDIT if streams else 0))


def _frame(head: str, body: Any, *, credit: int) -> frames.Frame:
    name, direction = head.split()
    match direction:
        case "call":
            return frames.Call(id=_CALL_ID, method=name, left_ms=_LEFT_MS, credit=credit, body=body)
        case "item":
            return frames.Item(id=_CALL_ID, body=body)
        case "done":
            return frames.Done(id=_CALL_ID, body=body)
    return frames.Event(name=name, body=body)


def _written(head: str, frame: frames.Frame) -> Iterator[str]:
    data = frames.encode(frame)
    yield f"\n{head}: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()[:16]}"
    yield from (f"  {line}" for line in _values("", msgpack.unpackb(data)))


def _values(path: str, value: Any) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from _values(f"{path}.{key}" if path else str(key), each)
    elif isinstance(value, list) and value:
        for number, each in enumerate(value):
            yield from _values(f"{path}[{number}]", each)
    else:
        yield f"{path} = {value!r}"
