"""Finds the drivers that are installed on this computer, as entry points."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points

import structlog

from common.values import DriverType

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

GROUP = "innkeeper.drivers"
_OWN = "innkeeper"


@cache
def installed_drivers() -> Mapping[DriverType, EntryPoint]:
    """Returns the entry point of each driver; loads none. Read once for each process.

    A driver of another distribution takes the place of Innkeeper's own for the same type of hosts.
    """
    found: dict[DriverType, EntryPoint] = {}
    for one in sorted(entry_points(group=GROUP), key=_rank):
        try:
            found[DriverType(one.name)] = one
        except ValueError:
            log.warning("driver_name_invalid", name=one.name, distribution=_distribution(one))
    return found


def added_types() -> tuple[str, ...]:
    """Returns the types of hosts that other distributions add to Innkeeper's own, in the order of the alphabet."""
    return tuple(sorted(one.value for one in installed_drivers() if one not in tuple(DriverType)))


def _rank(entry: EntryPoint) -> tuple[bool, str]:
    return _distribution(entry) != _OWN, _distribution(entry)


def _distribution(entry: EntryPoint) -> str:
    return "" if entry.dist is None else entry.dist.name
