"""Doubles that accept a call only if the real method does."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any


def check_call(real: type, name: str, args: tuple[Any, ...], named: Mapping[str, Any]) -> None:
    """Raises AttributeError if `real` has no such method, TypeError if that does not accept these arguments."""
    try:
        _signature(real, name).bind(None, *args, **named)
    except TypeError as error:
        raise TypeError(f"{real.__name__}.{name}: {error}") from error


def has_method(real: type, name: str) -> bool:
    return callable(inspect.getattr_static(real, name, None))


@cache
def _signature(real: type, name: str) -> inspect.Signature:
    if not has_method(real, name):
        raise AttributeError(f"{real.__name__} has no method {name}")
    return inspect.signature(getattr(real, name))
