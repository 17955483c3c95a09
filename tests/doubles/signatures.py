"""Doubles that accept a call only if the real method does."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar, cast

T = TypeVar("T")


def in_place_of(real: type[T], double: object) -> T:
    """Returns `double`, typed as the class that it stands for; calls of its methods must be valid calls of `real`.

    The double needs only the methods that the test calls. Its fields and properties are not checked.
    """
    return cast(T, _Checked(real, double))


def check_call(real: type, name: str, args: tuple[Any, ...], named: Mapping[str, Any]) -> None:
    """Raises AttributeError if `real` has no such method, TypeError if that does not accept these arguments."""
    try:
        _signature(real, name).bind(None, *args, **named)
    except TypeError as error:
        raise TypeError(f"{real.__name__}.{name}: {error}") from error


def has_method(real: type, name: str) -> bool:
    return callable(inspect.getattr_static(real, name, None))


def takes_caller(real: type, name: str) -> bool:
    """Whether the method returns what its keyword argument `caller` may see: everything if that is not given."""
    caller = _signature(real, name).parameters.get("caller")
    return caller is not None and caller.kind is inspect.Parameter.KEYWORD_ONLY


class _Checked:
    def __init__(self, real: type, double: object) -> None:
        self._real = real
        self._double = double

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Checked) and other._double is self._double

    def __hash__(self) -> int:
        return id(self._double)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._double, name)
        if not inspect.ismethod(found):
            return found

        def call(*args: Any, **named: Any) -> Any:
            check_call(self._real, name, args, named)
            return found(*args, **named)

        return call


@cache
def _signature(real: type, name: str) -> inspect.Signature:
    if not has_method(real, name):
        raise AttributeError(f"{real.__name__} has no method {name}")
    return inspect.signature(getattr(real, name))
