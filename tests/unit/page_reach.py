"""What a page's handler reaches in the code of the pages: resources of the API, texts, and names of attributes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache, partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import attrs
from attrs import frozen

from regiond.api.declaration.endpoint import Endpoint, Resource
from regiond.ui.page import Page
from regiond.ui.pages import PAGES

_OURS = "regiond.ui"


@frozen(kw_only=True)
class Reach:
    """All that the code of some handlers mentions, whichever way a request takes through it."""

    resources: frozenset[str]  # their paths in the API
    texts: frozenset[str]
    names: frozenset[str]

    def calls(self, resource: Resource, endpoint: Endpoint) -> bool:
        """Whether the code names the resource, and the op of the endpoint or the method of one without an op."""
        return resource.path in self.resources and (endpoint.op or endpoint.method) in self.texts

    def reads(self, method: str) -> bool:
        """Whether the code names this method of a service, such as `hosts.list`."""
        return set(method.split(".")) <= self.names


@cache
def pages_at(path: str) -> tuple[Page, ...]:
    return tuple(page for page in PAGES if page.path == path)


@cache
def reach_of(path: str) -> Reach:
    """Returns what the handlers of all methods of one address reach."""
    resources: set[str] = set()
    texts: set[str] = set()
    names: set[str] = set()
    seen: dict[int, Any] = {}  # keeps what was visited alive, so that no other object gets its id
    waiting: list[Any] = [page.handle for page in pages_at(path)]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            texts.add(one)
        elif isinstance(one, Resource):
            resources.add(one.path)
        elif id(one) not in seen:
            seen[id(one)] = one
            if isinstance(one, FunctionType):
                names |= _names(one.__code__)
            waiting += _parts(one)
    return Reach(resources=frozenset(resources), texts=frozenset(texts), names=frozenset(names))


def _parts(one: Any) -> Iterable[Any]:
    """Returns the objects that `one` consists of or refers to, as far as they are code or values of the pages."""
    found: Iterable[Any] = ()
    if isinstance(one, partial):
        found = [one.func, *one.args, *one.keywords.values()]
    elif isinstance(one, MethodType):
        found = [one.__func__, one.__self__]
    elif isinstance(one, property):
        found = [one.fget]
    elif isinstance(one, Mapping):
        found = [*one.keys(), *one.values()]
    elif isinstance(one, tuple | list | set | frozenset):
        found = one
    elif isinstance(one, FunctionType | type):
        if one.__module__.startswith(_OURS):
            found = _of_function(one) if isinstance(one, FunctionType) else vars(one).values()
    elif attrs.has(type(one)) and type(one).__module__.startswith(_OURS):
        found = [type(one), *(getattr(one, each.name) for each in attrs.fields(type(one)))]
    return found


def _of_function(function: FunctionType) -> Iterator[Any]:
    names = _names(function.__code__)
    yield from (function.__defaults__ or (), function.__kwdefaults__ or {})
    yield from (cell.cell_contents for cell in function.__closure__ or ())
    yield from _constants(function.__code__)
    for name in names & function.__globals__.keys():
        value = function.__globals__[name]
        if isinstance(value, ModuleType) and value.__name__.startswith(_OURS):
            yield from (vars(value)[each] for each in names & vars(value).keys())
        else:
            yield value


def _inner(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _inner(constant)


def _names(code: CodeType) -> set[str]:
    return {name for each in _inner(code) for name in each.co_names}


def _constants(code: CodeType) -> Iterator[Any]:
    for each in _inner(code):
        yield from (constant for constant in each.co_consts if isinstance(constant, str | tuple))
