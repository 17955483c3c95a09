"""The hosts of the list as a file, by id."""

from __future__ import annotations

from attrs import evolve

from regiond.api.replies import Reply
from regiond.api.serializers.vm_hosts.hosts import HOST_JSON
from regiond.ui.hosts.list_page import HOSTS
from regiond.ui.lists.export import export
from regiond.ui.lists.list_kind import whole_query
from regiond.ui.rendering.page import Page, Visit

COLUMNS = (
    "id", "name", "type", "state", "address", "project", "cluster_name", "zone.name", "pool.name", "tags",
    "architectures", "version", "total.cores", "total.memory", "total.local_storage", "capacity.cores.free",
    "capacity.memory_mib.free", "capacity.storage_bytes.free", "cpu_over_commit_ratio", "memory_over_commit_ratio",
    "reserved_cores", "reserved_memory", "maintenance.since", "maintenance.reason", "error.code", "refreshed_at",
    "resource_uri",
)  # fmt: skip


async def show(visit: Visit) -> Reply:
    hosts, caller = visit.services.hosts, visit.caller
    search = await hosts.search(whole_query(HOSTS, visit.request), caller=caller)
    every = await hosts.long_list(caller=caller)
    found = evolve(every, keys=[host.id for host in search.found])
    return await export(visit, "hosts", found, HOST_JSON.encode, COLUMNS)


PAGES = (Page(path="hosts/export", handle=show),)
