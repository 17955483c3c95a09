"""`vm-hosts/` and `vm-hosts/{id}/`, also served as `pods/`."""

from __future__ import annotations

from attrs import evolve

from common.values import DriverType
from regiond.api.declaration import crud, operation_wait
from regiond.api.declaration.endpoint import Call, Endpoint, Resource, Result
from regiond.api.declaration.extension import api_extensions
from regiond.api.declaration.field_types import Text
from regiond.api.declaration.fields import Field
from regiond.api.declaration.operation_wait import STARTED, answer_within_s, begun, when_done
from regiond.api.declaration.served import filled, given, serve, target
from regiond.api.replies import Reply, json_reply, with_warnings
from regiond.api.resources.hosts import (
    adoption,
    host_maintenance,
    host_removal,
    host_usage,
    imports,
    placement,
    vm_host_actions,
)
from regiond.api.resources.hosts.vm_host_actions import HOST_RESULT
from regiond.api.resources.shared import host_fields
from regiond.api.resources.shared.lookups import find_host
from regiond.api.serializers.vm_hosts.capacity import FLEET_CAPACITY_JSON
from regiond.api.serializers.vm_hosts.hosts import HOST_JSON
from regiond.hosts.model import HostChange, HostView, NewHost
from regiond.hosts.search.fields import HOST_FIELDS
from regiond.operations.model import Operation
from regiond.requests.caller import Permission
from regiond.requests.long_list import LongList
from regiond.requests.search_query import MAX_LENGTH


async def _list(call: Call) -> LongList[HostView]:
    found = await call.services.hosts.long_list(caller=call.caller)
    if call.values["q"]:
        search = await call.services.hosts.search(call.values["q"], caller=call.caller)
        found = evolve(found, keys=[host.id for host in search.found])
    return found


async def _read(call: Call) -> HostView:
    host: HostView = call.target
    return host


def _same_driver(call: Call) -> DriverType | None:
    """Returns the driver of the request, which is that of the host: another one is already a problem."""
    host: HostView = call.target
    return None if call.values["type"] is None else host.driver


def _refresh_wait_s(call: Call) -> float:
    """Returns the seconds for which the answer waits for the refresh, which then continues."""
    return answer_within_s(call, operation_wait.QUICK_ANSWER_S)


_RENAMED = {"address": given("power_address"), "reserved_memory_mib": given("reserved_memory")}
_new = filled(NewHost, driver=lambda call: host_fields.driver_named(call.values["type"]), **_RENAMED)
_change = filled(HostChange, driver=_same_driver, **_RENAMED)
_add = serve(lambda s: s.hosts.create, new=_new, wait_s=_refresh_wait_s)
_update = serve(lambda s: s.hosts.update, host_id=target("id"), change=_change, wait_s=_refresh_wait_s)


async def _create(call: Call) -> Reply:
    """The header `Warning` says what is to know about a server that knew an Innkeeper before."""
    host = await _add(call)
    reply = json_reply(HOST_JSON.encode(host))
    return with_warnings(reply, await call.services.hosts.known_before(call.caller, host.id))


async def _delete(call: Call) -> Reply:
    before = await begun(call)
    if before is not None:
        return await _removed(call, before, call.target)
    host: HostView = call.target
    if call.values["dry_run"]:
        return await host_removal.plan(call, host.name, (host.id,))
    removal = host_removal.removal_of(call)
    operation = await call.services.hosts.start_remove(
        call.caller, host.id, removal, idempotency_key=call.idempotency_key,
        confirm=host_removal.confirmation(call, host.name, (host.id,)),
    )  # fmt: skip
    return await _removed(call, operation, host)


async def _removed(call: Call, operation: Operation, host: HostView | None) -> Reply:
    """Answers a removal. `host` is None if an equal request has removed it: then the operation has ended.

    By force, the answer lists the lost machines. It also waits for the removal of a host on a machine of ours, since
    clients release that machine next.
    """
    waits = call.values["force"] or (host is not None and host.machine_system_id is not None)
    return await when_done(call, operation, host_removal.removed, to_end=waits)


_CAPACITY = crud.read(
    Result(doc="The capacity of `fleet`, `zones` and `pools`.", type=FLEET_CAPACITY_JSON),
    serve(lambda s: s.hosts.capacity),
    op="capacity",
    title="Read the capacity of the fleet",
    expensive=True,
    doc=(
        "Adds up the capacity of all VM hosts, and of those in each zone and each resource pool. A server with several "
        "hosts counts once. Servers that cannot be reached are counted apart."
    ),
)
_QUERY = Field(
    "q",
    Text(max_length=MAX_LENGTH),
    "Only VM hosts with these words in name, address, project, pool, zone, cluster or tag; with fields as in zone:east "
    f"-tag:gpu free_cores:>=8. The fields are {', '.join(HOST_FIELDS)}.",
)
HOSTS = Resource(
    handler="VmHostsHandler",
    path="vm-hosts/",
    doc="VM hosts: servers on which machines are composed.",
    endpoints=(
        crud.list_of(
            HOST_JSON,
            _list,
            title="List VM hosts",
            doc="All VM hosts, sorted by id.",
            result="The VM hosts.",
            fields=(_QUERY,),
            expensive=True,
        ),
        evolve(
            crud.create(
                HOST_RESULT,
                _add,
                title="Add a VM host",
                doc=(
                    "Adds the host even if it cannot be reached; its totals are zero until a refresh succeeds, for "
                    "which the request waits 8 s. Changes nothing on the host. The header Warning says if its server "
                    "trusted Innkeeper's certificate already, or has VMs of another installation, and what helps."
                ),
                expensive=True,
                fields=host_fields.CREATE,
                check=host_fields.create_problems,
            ),
            run=_create,
        ),
        placement.PLACE,
        placement.COMPOSE_ANYWHERE,
        _CAPACITY,
    ),
)
HOST = Resource(
    handler="VmHostHandler",
    path="vm-hosts/{id}/",
    takes_slashes=True,  # host names may contain slashes
    doc="One VM host, by its id or name.",
    endpoints=(
        crud.read(HOST_RESULT, _read, title="Read a VM host", find=find_host),
        crud.update(
            HOST_RESULT,
            _update,
            title="Update a VM host",
            doc="Changes only the given fields, and refreshes the host, for which the request waits 8 s.",
            fields=host_fields.UPDATE,
            find=find_host,
            check=host_fields.update_problems,
        ),
        Endpoint(
            method="DELETE",
            permission=Permission.ADMIN,
            fields=host_removal.FIELDS,
            title="Delete a VM host",
            doc=host_removal.DOC,
            result=crud.NOTHING,
            success=204,
            other_answers=(STARTED, host_removal.DRY_RUN, host_removal.BY_FORCE),
            find=find_host,
            opens_operation=True,
            outlives_target=True,
            check=host_removal.problems,
            run=_delete,
        ),
        vm_host_actions.REFRESH,
        vm_host_actions.PARAMETERS,
        vm_host_actions.ROTATE,
        vm_host_actions.PROJECTS,
        vm_host_actions.NUMA,
        vm_host_actions.RACKS,
        host_usage.USAGE,
        vm_host_actions.COMPOSE,
        imports.IMPORT,
        adoption.ADOPT,
        vm_host_actions.ADD_TAG,
        vm_host_actions.REMOVE_TAG,
        vm_host_actions.TRUST,
        vm_host_actions.CONFIRM_SERVER,
        host_maintenance.MAINTENANCE,
        host_maintenance.END_MAINTENANCE,
        host_maintenance.GUESTS,
        *[one for extension in api_extensions() for one in extension.of_host],
    ),
)
RESOURCES = (
    HOSTS,
    HOST,
    HOSTS.also(handler="PodsHandler", path="pods/"),
    HOST.also(handler="PodHandler", path="pods/{id}/"),
)
