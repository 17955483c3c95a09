"""Handlers of one statement, as declarations: which method of a service, and where its arguments come from.

    serve(lambda s: s.groups.update_zone, "description", name=target("name"), new_name=text("name"))

calls `update_zone` with the caller, the name of the object that `find` read, the field `name` of the request unless it
is empty, and its field `description`. A handler that does more is a function.
"""

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from operator import attrgetter
from types import SimpleNamespace
from typing import Any, TypeVar, cast, get_type_hints

from attrs import AttrsInstance, fields

from regiond.api.declaration.crud import Run
from regiond.api.declaration.dry_run import is_dry_run
from regiond.api.declaration.endpoint import Call
from regiond.api.services import Services
from regiond.api.urls import id_in

T = TypeVar("T")
A = TypeVar("A", bound=AttrsInstance)
Method = Callable[[Services], Callable[..., Awaitable[T]]]
Source = Callable[[Call], Any]  # where the value of an argument comes from

# While modules are imported there are no services: the classes have the signatures of their methods.
_CLASSES = cast(
    Services,
    SimpleNamespace(**get_type_hints(Services), of=lambda kind: SimpleNamespace(**get_type_hints(kind))),
)
_USUAL: Mapping[str, Source] = {"caller": lambda call: call.caller, "dry_run": is_dry_run}


def serve(method: Method[T], /, *same: str, **sources: Source) -> Run[T]:
    """A handler that awaits a method of a service and returns its result.

    `same` are arguments that are named like fields of the request; `sources` has the others, by name. The caller and
    the dry run need no source. What has none keeps its default.

    Raises TypeError, when the module is imported, for an argument that the method does not have, and for one without
    source and default.
    """
    parameters = _parameters(method)
    chosen = {**_USUAL, **{name: given(name) for name in same}, **sources}
    _check_known(method(_CLASSES), {*same, *sources}, (one.name for one in parameters))
    places: list[Source] = []
    named: dict[str, Source] = {}
    for index, one in enumerate(parameters):
        if one.name not in chosen:
            if one.default is one.empty:
                raise TypeError(f"{method(_CLASSES)} needs {one.name}")
        elif one.kind is one.KEYWORD_ONLY or len(places) < index:
            named[one.name] = chosen[one.name]
        else:
            places.append(chosen[one.name])

    async def run(call: Call) -> T:
        arguments = {name: source(call) for name, source in named.items()}
        return await method(call.services)(*(source(call) for source in places), **arguments)

    return run


def given(field: str) -> Source:
    """The value of a field of the request."""
    return lambda call: call.values[field]


def text(field: str, *, blank: str | None = None) -> Source:
    """The text of a field; `blank` if it is empty or absent."""
    return lambda call: call.values[field] or blank


def target(attribute: str = "") -> Source:
    """The object that `find` read, or an attribute of it."""
    return attrgetter(f"target.{attribute}" if attribute else "target")


def part(name: str, *, number_of: str = "") -> Source:
    """A part of the path; with `number_of`, which names the kind of object, it must be the id of one."""
    return lambda call: _part(call.path, name, number_of)


def found(
    method: Method[T], name: str, *, number_of: str = ""
) -> Callable[[Services, Mapping[str, str]], Awaitable[T]]:
    """A `find` that calls a method with a part of the path, see `part`, and with the caller if it takes one."""
    takes_caller = "caller" in {one.name for one in _parameters(method)}

    async def find(services: Services, path: Mapping[str, str]) -> T:
        caller = {"caller": services.caller} if takes_caller else {}
        return await method(services)(_part(path, name, number_of), **caller)

    return find


def filled(kind: type[A], /, **sources: Source) -> Callable[[Call], A]:
    """A value whose attributes are the fields of the request with the same names; `sources` has others, by attribute.

    What the request does not have, or is None, keeps its default. Raises TypeError, when the module is imported, for an
    attribute that the class does not have.
    """
    names = [one.name for one in fields(kind)]
    _check_known(kind, sources, names)

    def value(call: Call) -> A:
        same = {name: call.values[name] for name in names if name in call.values and name not in sources}
        all_ = same | {name: source(call) for name, source in sources.items()}
        return kind(**{name: one for name, one in all_.items() if one is not None})

    return value


def _check_known(owner: object, wanted: Iterable[str], known: Iterable[str]) -> None:
    if unknown := set(wanted) - set(known):
        raise TypeError(f"{owner} has no {', '.join(sorted(unknown))}")


def _parameters(method: Method[Any]) -> list[inspect.Parameter]:
    """The parameters of a method without the first one, which is the service."""
    return list(inspect.signature(method(_CLASSES)).parameters.values())[1:]


def _part(path: Mapping[str, str], name: str, number_of: str) -> str | int:
    return id_in(path[name], number_of) if number_of else path[name]
