"""Declares a response's keys once; the JSON encoder and the JSON schema are derived from it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from operator import attrgetter, itemgetter
from types import NoneType, UnionType
from typing import Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from attrs import evolve, frozen

from common.serialization import to_dict
from regiond.api.urls import quoted, uri

Schema = Mapping[str, Any]
T = TypeVar("T")
V = TypeVar("V")


def _unchanged(value: Any) -> Any:
    return value


@frozen(kw_only=True)
class Serializer(Generic[T]):
    """A type of JSON value: `encode` turns a Python value into it, `schema` is its JSON schema.

    `source` is the class of the Python values, `object` if that is not known.
    """

    schema: Schema
    encode: Callable[[T], Any] = _unchanged
    source: type = object


@frozen(kw_only=True)
class Key(Generic[T]):
    """One key of a JSON object; `get` takes its encoded value from the source object, whose class is `source`."""

    name: str
    schema: Schema
    get: Callable[[T], Any]
    optional: bool = False
    constant: bool = False
    source: type = object


def key(name: str, type_: Serializer[V], get: Callable[[T], V]) -> Key[T]:
    """A key that every object has. `get` takes its value from the source object."""
    encode = type_.encode
    if encode is _unchanged:
        return Key(name=name, schema=type_.schema, get=get)
    return Key(name=name, schema=type_.schema, get=lambda source: encode(get(source)))


def optional_key(name: str, type_: Serializer[V], get: Callable[[T], V | None]) -> Key[T]:
    """A key that is left out when its value is None: clients have a default for a missing key, but reject null."""
    return Key(name=name, schema=type_.schema, get=key(name, nullable(type_), get).get, optional=True)


def item(name: str, type_: Serializer[Any]) -> Key[Mapping[str, Any]]:
    """A key whose source is a mapping that has the encoded value under the same name."""
    return Key(name=name, schema=type_.schema, get=itemgetter(name))


def constant(name: str, type_: Serializer[V], value: V) -> Key[Any]:
    """A key with the same value in every object. All objects share the encoded value; do not change it."""
    encoded = type_.encode(value)
    return Key(name=name, schema=type_.schema, get=lambda _: encoded, constant=True)


def serializer(title: str, *keys: Key[T]) -> Serializer[T]:
    """An object with exactly these keys, in this order. `title` names its schema in the OpenAPI document."""
    schema = {
        "title": title,
        "type": "object",
        "properties": {one.name: one.schema for one in keys},
        "required": [one.name for one in keys if not one.optional],
        "additionalProperties": False,
    }
    source = next((one.source for one in keys if one.source is not object), object)
    return Serializer(schema=schema, encode=_object_encoder(keys), source=source)


def extended(title: str, base: Serializer[V], get: Callable[[T], V], *keys: Key[T]) -> Serializer[T]:
    """An object with the keys of `base`, encoded from `get(source)`, followed by `keys`."""
    own = serializer(title, *keys)
    schema = {
        **own.schema,
        "properties": {**base.schema["properties"], **own.schema["properties"]},
        "required": [*base.schema["required"], *own.schema["required"]],
    }
    return Serializer(schema=schema, encode=lambda source: {**base.encode(get(source)), **own.encode(source)})


def _object_encoder(keys: Iterable[Key[T]]) -> Callable[[T], dict[str, Any]]:
    """Copies a template that has all keys in order with the constants, then sets the others: lists can be long."""
    keys = tuple(keys)
    no_source: Any = None
    template = {one.name: one.get(no_source) if one.constant else None for one in keys}
    variable = [(one.name, one.get) for one in keys if not one.constant]
    optional = [one.name for one in keys if one.optional]

    def encode(source: T) -> dict[str, Any]:
        encoded = template.copy()
        for name, get in variable:
            encoded[name] = get(source)
        for name in optional:
            if encoded[name] is None:
                del encoded[name]
        return encoded

    return encode


def uri_by_id(*segments: str) -> Key[Any]:
    """The key `resource_uri` of objects whose path is that of `segments`, and their number."""
    prefix, id_of = uri(*segments), attrgetter("id")
    return Key(name="resource_uri", schema={"type": "string"}, get=lambda source: f"{prefix}{id_of(source)}/")


def uri_by_name(*segments: str) -> Key[Any]:
    """The key `resource_uri` of objects whose path is that of `segments`, and their name."""
    prefix, name_of = uri(*segments), attrgetter("name")
    return Key(name="resource_uri", schema={"type": "string"}, get=lambda source: f"{prefix}{quoted(name_of(source))}/")


INT = Serializer[int](schema={"type": "integer"}, source=int)
NUMBER = Serializer[float](schema={"type": "number"}, source=float)
STR = Serializer[str](schema={"type": "string"}, source=str)
AS_TEXT = Serializer[object](schema={"type": "string"}, encode=str)
BOOL = Serializer[bool](schema={"type": "boolean"}, source=bool)
NULL = Serializer[None](schema={"type": "null"})
TIMESTAMP = Serializer[datetime](
    schema={"type": "string", "format": "date-time"}, encode=datetime.isoformat, source=datetime
)
OBJECT = Serializer[Mapping[str, Any]](
    schema={"type": "object", "additionalProperties": True}, encode=lambda value: to_dict(dict(value))
)


def nullable(type_: Serializer[V]) -> Serializer[V | None]:
    """The type, or null for None."""
    encode = type_.encode
    schema = {"anyOf": [type_.schema, NULL.schema]}
    if encode is _unchanged:
        return Serializer(schema=schema)
    return Serializer(schema=schema, encode=lambda value: None if value is None else encode(value))


def array(items: Serializer[V]) -> Serializer[Iterable[V]]:
    encode = items.encode
    schema = {"type": "array", "items": items.schema}
    if encode is _unchanged:
        return Serializer(schema=schema, encode=list)
    return Serializer(schema=schema, encode=lambda values: [encode(value) for value in values])


def mapping(values: Serializer[V]) -> Serializer[Mapping[str, V]]:
    """An object with any keys and values of one type."""
    encode = values.encode
    schema = {"type": "object", "additionalProperties": values.schema}
    return Serializer(schema=schema, encode=lambda found: {name: encode(value) for name, value in found.items()})


def enum(values: type[StrEnum]) -> Serializer[StrEnum]:
    schema = {"type": "string", "enum": [one.value for one in values]}
    return Serializer(schema=schema, encode=lambda one: one.value, source=values)


def one_of(*types: Serializer[Any]) -> Serializer[Any]:
    """Any of these types, for values that are encoded already."""
    return Serializer(schema={"anyOf": [one.schema for one in types]})


def encoded(type_: Serializer[Any]) -> Serializer[Any]:
    """The same type, for values that are encoded already."""
    return Serializer(schema=type_.schema)


def fields_of(source: type[T], /, *names: str, **parts: Serializer[Any]) -> tuple[Key[T], ...]:
    """Keys for attributes of `source`, in this order, with the types that the attributes are annotated with.

    `names` are separated by spaces, in one text or several. `memory=memory_mib` is the attribute `memory_mib` under the
    name `memory`; `limits.cores` is an attribute of an attribute, under the name `cores`. `parts` has types by name: of
    values, and of items of lists and mappings, whose class is ours; or instead of what the annotation says.
    Raises TypeError, while the module is imported, for an attribute that `source` lacks or a type that does not fit.
    """
    keys = []
    for text in " ".join(names).split():
        name, _, path = text.rpartition("=")
        name = name or path.rpartition(".")[2]
        type_ = _derived(f"{source.__name__}.{path}", _annotation(source, path), parts.pop(name, None))
        keys.append(evolve(key(name, type_, attrgetter(path)), source=source))
    if parts:
        raise TypeError(f"{source.__name__}: no key has the name {' or '.join(parts)}")
    return tuple(keys)


_hints = cache(get_type_hints)


def _annotation(source: type, path: str) -> Any:
    """Returns the annotation of an attribute, or of an attribute of an attribute."""
    found: Any = source
    for part in path.split("."):
        member = inspect.getattr_static(found, part, None)
        owner, name = (member.fget, "return") if isinstance(member, property) else (found, part)
        hints = _hints(owner) if isinstance(found, type) else {}
        if name not in hints:
            raise TypeError(f"{source.__name__} has no annotated attribute {path}")
        found = hints[name]
    return found


_SIMPLE: tuple[tuple[type, Serializer[Any]], ...] = (
    *((type_.source, type_) for type_ in (BOOL, INT, NUMBER, STR, TIMESTAMP)),  # a bool is an int
    *((class_, AS_TEXT) for class_ in (UUID, IPv4Address, IPv6Address, IPv4Network, IPv6Network)),
)


def _derived(attribute: str, annotation: Any, part: Serializer[Any] | None) -> Serializer[Any]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    found = None
    if origin in {Union, UnionType}:
        types = [_derived(attribute, one, part) for one in arguments if one is not NoneType]
        if all(one is types[0] for one in types):
            found = nullable(types[0]) if NoneType in arguments else types[0]
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        is_any = arguments[1] is Any
        found = part or OBJECT if is_any else mapping(_derived(attribute, arguments[1], part))
    elif isinstance(origin, type) and issubclass(origin, Iterable) and set(arguments[1:]) <= {...}:
        found = array(_derived(attribute, arguments[0], part))
    else:
        found = _of_class(annotation) if part is None else part
        if found is not None and isinstance(annotation, type) and not issubclass(annotation, found.source):
            found = None
    if found is None:
        raise TypeError(f"{attribute} is annotated as {annotation}: no type {'is known' if part is None else 'fits'}")
    return found


def _of_class(annotation: Any) -> Serializer[Any] | None:
    if not isinstance(annotation, type):
        return None
    if issubclass(annotation, StrEnum):
        return enum(annotation)
    return next((type_ for known, type_ in _SIMPLE if issubclass(annotation, known)), None)
