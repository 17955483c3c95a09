"""Declares a response's keys once; the JSON encoder and the JSON schema are derived from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from operator import itemgetter
from typing import Any, Generic, TypeVar

from attrs import frozen

from common.serialization import to_dict

Schema = Mapping[str, Any]
T = TypeVar("T")
V = TypeVar("V")


def _unchanged(value: Any) -> Any:
    return value


@frozen(kw_only=True)
class Serializer(Generic[T]):
    """A type of JSON value: `encode` turns a Python value into it, `schema` is its JSON schema."""

    schema: Schema
    encode: Callable[[T], Any] = _unchanged


@frozen(kw_only=True)
class Key(Generic[T]):
    """One key of a JSON object; `get` takes its encoded value from the source object."""

    name: str
    schema: Schema
    get: Callable[[T], Any]
    optional: bool = False
    constant: bool = False


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
    return Serializer(schema=schema, encode=_object_encoder(keys))


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


INT = Serializer[int](schema={"type": "integer"})
NUMBER = Serializer[float](schema={"type": "number"})
STR = Serializer[str](schema={"type": "string"})
AS_TEXT = Serializer[object](schema={"type": "string"}, encode=str)
BOOL = Serializer[bool](schema={"type": "boolean"})
NULL = Serializer[None](schema={"type": "null"})
TIMESTAMP = Serializer[datetime](schema={"type": "string", "format": "date-time"}, encode=datetime.isoformat)
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
    return Serializer(schema={"type": "string", "enum": [one.value for one in values]}, encode=lambda one: one.value)


def one_of(*types: Serializer[Any]) -> Serializer[Any]:
    """Any of these types, for values that are encoded already."""
    return Serializer(schema={"anyOf": [one.schema for one in types]})


def encoded(type_: Serializer[Any]) -> Serializer[Any]:
    """The same type, for values that are encoded already."""
    return Serializer(schema=type_.schema)
