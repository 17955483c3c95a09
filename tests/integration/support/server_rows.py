"""The rows of a server and its hosts, to compare before and after what another host reports."""

from __future__ import annotations

from typing import Any

from tests.deployment.deployment import Deployment
from tests.integration.support.tables import sql

_QUERIES = (
    "select * from server where id = $1",
    "select * from storage_pool where server_id = $1 order by id",
    "select * from guest where server_id = $1 order by id",
    "select * from claim where server_id = $1 order by id",
    "select m.* from machine m join vm_host h on h.id = m.host_id where h.server_id = $1 order by m.id",
    "select h.* from vm_host h where h.server_id = $1 order by h.id",
)


async def server_rows(innkeeper: Deployment, host_id: int) -> list[Any]:
    """Returns everything that the database has of the host's server."""
    ((server_id,),) = await sql(innkeeper, "select server_id from vm_host where id = $1", host_id)
    assert server_id is not None, f"VM host {host_id} has no server"
    return [[tuple(row) for row in await sql(innkeeper, query, server_id)] for query in _QUERIES]


async def servers(innkeeper: Deployment) -> dict[str, str | None]:
    """Returns the identity of each host's server by the host's name."""
    query = "select h.name, s.identity from vm_host h left join server s on s.id = h.server_id"
    return {row["name"]: row["identity"] for row in await sql(innkeeper, query)}
