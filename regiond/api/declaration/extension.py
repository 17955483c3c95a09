"""The part of an extension of the region that the API serves."""

from __future__ import annotations

from functools import cache

from attrs import frozen

from regiond.api.declaration.endpoint import Endpoint, Resource
from regiond.process import extensions


@frozen(kw_only=True)
class ApiExtension:
    """Resources of an extension, and its endpoints of hosts and machines.

    `resources` are in `describe/`, `programs` are documented and are for other programs than clients, `aliases` are
    only served.
    """

    resources: tuple[Resource, ...] = ()
    programs: tuple[Resource, ...] = ()
    aliases: tuple[Resource, ...] = ()
    of_host: tuple[Endpoint, ...] = ()
    of_machine: tuple[Endpoint, ...] = ()


@cache
def api_extensions() -> tuple[ApiExtension, ...]:
    """Returns those of all extensions. A module that an extension imports must not call this when it is imported."""
    return extensions.extensions(extensions.API, ApiExtension)
