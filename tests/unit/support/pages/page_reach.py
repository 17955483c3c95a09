"""What a page's handler reaches in the code of the pages: requests of the API, and reads of services."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache, partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import attrs
from attrs import frozen

from regiond.api.declaration.endpoint import Endpoint, Resource
from regiond.ui.pages import PAGES
from regiond.ui.rendering.page import Page
from tests.unit.support.pages.page_calls import ANY, Call, calls_in, reads_in

_OURS = ("regiond.ui", "regiond.maas.pages")


@frozen(kw_only=True)
class Reach:
    """All that the code of some handlers mentions, whichever way a request takes through it."""

    requests: frozenset[Call]
    reads_of: frozenset[str]  # such as `hosts.read`
    resources: frozenset[str]  # their paths in the API, of requests that take theirs from a value
    texts: frozenset[str]

    def calls(self, resource: Resource, endpoint: Endpoint) -> bool:
        """Whether a request of the code can be this one; of a part that depends on a value, the code has the value."""
        return any(
            (resource.path in self.resources if one.resource is ANY else one.resource == resource.path)
            and (endpoint.method in self.texts if one.method is ANY else one.method == endpoint.method)
            and ((not endpoint.op or endpoint.op in self.texts) if one.op is ANY else one.op == (endpoint.op or ""))
            for one in self.requests
        )

    def reads(self, method: str) -> bool:
        """Whether the code uses this method of a service, such as `hosts.list`."""
        return method in self.reads_of


@cache
def pages_at(path: str) -> tuple[Page, ...]:
    return tuple(page for page in PAGES if page.path == path)


@cache
def reach_of(path: str) -> Reach:
    """Returns what the handlers of all methods of one address reach."""
    resources: set[str] = set()
    texts: set[str] = set()
    requests: set[Call] = set()
    reads: set[str] = set()
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
            if isinstance(one, FunctionType) and one.__module__.startswith(_OURS):
                requests |= calls_in(one)
                reads |= reads_in(one)
            waiting += _parts(one)
    return Reach(
        requests=frozenset(requests),
        reads_of=frozenset(reads),
        resources=frozenset(resources),
        texts=frozenset(texts),
    )


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
