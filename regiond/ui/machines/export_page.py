"""The VMs of a table as a file, as they are searched and sorted in it."""

from __future__ import annotations

from regiond.api.replies import Reply
from regiond.api.serializers.machines import MACHINE_JSON
from regiond.ui.lists.export import export
from regiond.ui.machines.machine_search import read_search, scope_of
from regiond.ui.rendering.page import Page, Visit

COLUMNS = (
    "system_id", "hostname", "fqdn", "status_name", "power_state", "pod.name", "zone.name", "pool.name", "owner",
    "tag_names", "description", "architecture", "cpu_count", "memory", "storage", "ip_addresses", "osystem",
    "distro_series", "locked", "error_description", "resource_uri",
)  # fmt: skip


async def show(visit: Visit) -> Reply:
    request, machines = visit.request, visit.services.machines
    search = await read_search(visit, request, await scope_of(visit, request.option("within")))
    return await export(visit, "vms", await machines.ordered(search, caller=visit.caller), MACHINE_JSON.encode, COLUMNS)


PAGES = (Page(path="vms/export", handle=show),)
