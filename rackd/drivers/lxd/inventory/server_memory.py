"""The memory of a server, as it takes percentages of it in `limits.memory`."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from common.errors import DriverFailed, NotFound
from rackd.drivers.lxd.connection.capabilities import Capabilities
from rackd.drivers.lxd.connection.client import Client, Json, path
from rackd.drivers.lxd.connection.failures import NotAuthorized
from rackd.drivers.lxd.inventory.config_values import is_percentage
from rackd.drivers.lxd.inventory.ownership import config_of

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

_STANDALONE = "none"  # the member's name of a server that is in no cluster


def total_bytes_for(
    client: Client, instances: Iterable[Json], member: str, resources: Json | None, can: Capabilities
) -> int:
    """Returns the server's memory if the memory of one of `instances` is a percentage of it; else 0, without a request.

    Servers read the kB of /proc/meminfo as 1000 bytes each. Of one that does not say how much memory its kernel has,
    that of its hardware (`resources`, None: to be read) is taken: some percent more, so that not too little is counted.
    """
    if not any(is_percentage(limit_of(one)) for one in instances):
        return 0
    try:
        if can.member_state:
            found = client.get(path("cluster", "members", member or _STANDALONE, "state"))
            return int(found["sysinfo"]["total_ram"]) // 1024 * 1000
    except (DriverFailed, NotAuthorized, NotFound, KeyError, TypeError, ValueError) as error:
        log.info("server_memory_not_read", reason=str(error))
    if resources is None:
        resources = client.get("resources", target=member)
    return int(resources["memory"]["total"])


def limit_of(instance: Json) -> str | None:
    """Returns `limits.memory`, also of a profile."""
    expanded = instance.get("expanded_config")
    found: str | None = (config_of(instance) if expanded is None else expanded).get("limits.memory")
    return found
