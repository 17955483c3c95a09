"""Collects what the modules of a package declare, so that another one is added by its module alone."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from inspect import isabstract
from pkgutil import walk_packages
from types import ModuleType
from typing import TypeVar

T = TypeVar("T")


def _modules_of(package: str) -> Iterator[ModuleType]:
    """Imports all modules of the package, and of those in it, in the order of their names."""
    for found in walk_packages(import_module(package).__path__, f"{package}."):
        yield import_module(found.name)


def collected(package: str, name: str, kind: type[T]) -> Iterator[T]:
    """Yields the items of the lists with this name that modules of the package have. Raises TypeError for others."""
    for module in _modules_of(package):
        for item in vars(module).get(name, ()):
            if not isinstance(item, kind):
                raise TypeError(f"{module.__name__}.{name} has {item!r}, which is no {kind.__name__}")
            yield item


def classes_of(package: str, base: type[T]) -> Iterator[type[T]]:
    """Yields the classes without abstract methods that are derived from `base` and defined in the package."""
    for module in _modules_of(package):
        for value in vars(module).values():
            is_its_own = isinstance(value, type) and value.__module__ == module.__name__
            if is_its_own and issubclass(value, base) and not isabstract(value):
                yield value
