"""The storage pools of a server, also where a certificate that is restricted to projects may not list them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import frozen

from common.errors import NotFound
from common.hosts.discovery import Problem
from rackd.drivers.lxd.connection.client import Client, Json, path
from rackd.drivers.lxd.connection.failures import NotAuthorized

_USUAL_NAME = "default"  # which the first start of a server suggests
_LIMIT = "limits.disk.pool."  # begins keys of a project's config


@frozen(kw_only=True)
class Listing:
    """`problems` says what the certificate could not read."""

    pools: list[Json]
    problems: tuple[Problem, ...] = ()


def list_pools(
    client: Client, *, projects: Iterable[Json], profiles: Iterable[Json], instances: Iterable[Json]
) -> Listing:
    """Reads all storage pools in one request, or, where that is refused, those that these objects name, in one request
    each.

    Incus before 6.0.6 refuses the list, but not a pool by its name, to a certificate that is restricted to projects.
    """
    try:
        return Listing(pools=client.get("storage-pools", recursion="1"))
    except NotAuthorized:
        named = sorted({_USUAL_NAME, *_named_by(projects, profiles, instances)})
    found = [pool for name in named if (pool := client.find(path("storage-pools", name))) is not None]
    return Listing(pools=found, problems=(_unlisted(client, found),))


def check_pools(client: Client, wanted: Iterable[str]) -> None:
    """Raises NotFound with the name of a storage pool that the server does not have."""
    try:
        known: list[str] | None = [str(url).rpartition("/")[2] for url in client.get("storage-pools")]
    except NotAuthorized:
        known = None
    for name in wanted:
        if known is None and client.find(path("storage-pools", name)) is None:
            raise NotFound(f"{client.place} has no storage pool '{name}'.", pool_id=name)
        if known is not None and name not in known:
            raise NotFound(f"{client.place} has no storage pool '{name}'; it has {', '.join(known)}.", pool_id=name)


def _named_by(projects: Iterable[Json], profiles: Iterable[Json], instances: Iterable[Json]) -> Iterator[str]:
    for project in projects:
        keys = project.get("config") or {}
        yield from (str(key).removeprefix(_LIMIT) for key in keys if str(key).startswith(_LIMIT))
    for one in (*profiles, *instances):
        for device in (one.get("expanded_devices") or one.get("devices") or {}).values():
            if device.get("type") == "disk" and device.get("pool"):
                yield str(device["pool"])


def _unlisted(client: Client, found: Iterable[Json]) -> Problem:
    dialect = client.dialect
    names = ", ".join(str(pool["name"]) for pool in found) or "none"
    return Problem(
        subject="storage pools",
        message=f"This release of {dialect.product} lists no storage pools to a certificate that is restricted to "
        f"projects. Known are those that the project, its profiles and its VMs name, and '{_USUAL_NAME}': {names}. "
        f"Another one is known once a profile of the project names it: {dialect.client} profile create POOL, then "
        f"{dialect.client} profile device add POOL root disk pool=POOL path=/. A newer release lists all.",
    )
