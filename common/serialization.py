"""Converts values to plain maps and back, for msgpack frames and JSON columns."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from cattrs import Converter, transform_error
from cattrs.errors import BaseValidationError

from common.errors import InvalidRequest

T = TypeVar("T")

_converter = Converter(forbid_extra_keys=False)  # a newer peer may send unknown fields
_converter.register_unstructure_hook(UUID, str)
_converter.register_structure_hook(UUID, lambda value, _: UUID(value))
_converter.register_unstructure_hook(datetime, lambda value: value.isoformat())
_converter.register_structure_hook(datetime, lambda value, _: datetime.fromisoformat(value))
# A hook call per number takes 20 ms for a server with thousands of cores, in every discovery.
_converter.register_structure_hook_func(lambda kind: kind == tuple[int, ...], lambda values, _: tuple(map(int, values)))


def to_dict(value: Any) -> Any:
    """Returns maps, lists, strings, numbers, booleans and None, which msgpack and JSON can encode."""
    return _converter.unstructure(value)


def from_dict(plain: Any, kind: type[T]) -> T:
    """Returns a value of type `kind`. Raises InvalidRequest that names each invalid part."""
    try:
        return _converter.structure(plain, kind)
    except BaseValidationError as error:
        raise InvalidRequest(f"not a {kind.__name__}: {'; '.join(transform_error(error))}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidRequest(f"not a {kind.__name__}: {error}") from error
