"""Finds the extensions of the region by entry points of installed distributions."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoints, entry_points
from typing import TypeVar

from common.errors import BadSettings

T = TypeVar("T")

REGION, API, PAGES, RECONCILER = (
    "innkeeper.region", "innkeeper.region.api", "innkeeper.region.pages", "innkeeper.region.reconciler",
)  # fmt: skip
_BUNDLED = ("maas",)  # come with Innkeeper's own distribution


def extensions(group: str, kind: type[T]) -> tuple[T, ...]:
    """Returns the objects that the entry points of the group name, by the names of the entry points.

    Raises TypeError for one that is none of `kind`.
    """
    found = []
    for one in sorted(installed(group), key=lambda one: one.name):
        extension = one.load()
        if not isinstance(extension, kind):
            raise TypeError(f"The entry point {one.name} of {group}, {one.value}, is no {kind.__name__}")
        found.append(extension)
    return tuple(found)


def check_installed() -> None:
    """Raises BadSettings if the installed distribution does not name the extensions that come with it.

    An editable installation has the entry points of the day on which it was made.
    """
    for group in (REGION, API, PAGES, RECONCILER):
        present = installed(group).names
        for name in _BUNDLED:
            if name not in present:
                raise BadSettings(
                    f"The installation of Innkeeper lacks the entry point {name} of {group}: it is older than this "
                    "code. Install it again; in a checkout: .venv/bin/pip install --no-deps --no-build-isolation -e ."
                )


@cache
def installed(group: str) -> EntryPoints:
    """Returns the entry points of a group, which are read once."""
    return entry_points(group=group)
