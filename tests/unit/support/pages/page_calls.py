"""The requests and reads that the code of one function writes: `visit.act(HOST, "POST", "refresh")`, `hosts.read`."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from attrs import frozen

from regiond.api.declaration.endpoint import Resource
from regiond.api.resources.shared import lookups

ANY = None  # a part of a request that the code takes from a value
# Methods of a visit, of its actions and of a kind of object, with their first parameters.
_ACTS = {
    "act": ("resource", "method", "op"), "reply": ("resource", "method", "op"), "_endpoint": ("method",),
}  # fmt: skip


@frozen
class Call:
    """A request of the API; a part that is ANY depends on a value."""

    resource: str | None
    method: str | None
    op: str | None  # empty: without op


@cache
def calls_in(function: FunctionType) -> frozenset[Call]:
    return frozenset(_calls(function))


@cache
def reads_in(function: FunctionType) -> frozenset[str]:
    """Returns `hosts.read` for `….hosts.read`, and for `hosts.read` of a name that is a service in the function.

    It has `find_host` for that function of the API, which reads for it too.
    """
    return frozenset(_reads(function))


def _calls(function: FunctionType) -> Iterator[Call]:
    for node in _nodes(function):
        match node:
            case ast.Call(func=ast.Attribute(attr=name)) if name in _ACTS:
                given = dict(zip(_ACTS[name], node.args, strict=False))
                given |= {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg in _ACTS[name]}
                resource = _value(given["resource"], function) if "resource" in given else ANY
                yield Call(
                    resource=resource.path if isinstance(resource, Resource) else ANY,
                    method=_text(given["method"], function),
                    op=_text(given["op"], function) if "op" in given else "",
                )


def _reads(function: FunctionType) -> Iterator[str]:
    nodes = _nodes(function)
    services = dict(_services_in(nodes))
    for node in nodes:
        if isinstance(node, ast.Attribute):
            match node.value:
                case ast.Attribute(attr=service):
                    yield f"{service}.{node.attr}"
                case ast.Name(id=name):
                    yield f"{services.get(name, name)}.{node.attr}"
        elif isinstance(node, ast.Name) and function.__globals__.get(node.id) is getattr(lookups, node.id, lookups):
            yield node.id


def _services_in(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, str]]:
    """Yields names with the attribute that they were set to: `found = visit.services.hosts`."""
    for node in nodes:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                pairs = (
                    zip(target.elts, node.value.elts, strict=False)
                    if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
                    else [(target, node.value)]
                )
                for name, value in pairs:
                    if isinstance(name, ast.Name) and isinstance(value, ast.Attribute):
                        yield name.id, value.attr


def _text(node: ast.expr, function: FunctionType) -> str | None:
    if isinstance(node, ast.Constant) and node.value is None:
        return ""
    found = _value(node, function)
    return found if isinstance(found, str) else ANY


def _value(node: ast.expr, function: FunctionType) -> Any:
    """The value of a literal or of a name of the module; None for all else."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return function.__globals__.get(name)
        case ast.Attribute(value=ast.Name(id=owner), attr=name) if isinstance(
            module := function.__globals__.get(owner), ModuleType
        ):
            return getattr(module, name, None)
    return None


def _nodes(function: FunctionType) -> list[ast.AST]:
    """The code of the function and of its inner functions; none for one that was generated."""
    path, line = Path(function.__code__.co_filename), function.__code__.co_firstlineno
    return _functions(path).get((line, function.__name__), []) if path.exists() else []


@cache
def _functions(path: Path) -> Mapping[tuple[int, str], list[ast.AST]]:
    """Lambdas of one line are taken together."""
    found: dict[tuple[int, str], list[ast.AST]] = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            found.setdefault((first, node.name), []).extend(ast.walk(node))
        elif isinstance(node, ast.Lambda):
            found.setdefault((node.lineno, "<lambda>"), []).extend(ast.walk(node))
    return found
