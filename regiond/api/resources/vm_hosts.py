"""`vm-hosts/` and `vm-hosts/{id}/`, also served as `pods/`."""

from __future__ import annotations

from common.values import DriverType
from regiond.api.endpoint import Call, Endpoint, Permission, Resource, Result
from regiond.api.fields import Values
from regiond.api.operation_wait import when_done
from regiond.api.replies import Reply, empty_reply, json_reply
from regiond.api.resources import adoption, host_fields, numa, placement, vm_host_actions
from regiond.api.resources.vm_host_actions import HOST_RESULT, find_host
from regiond.api.serializer import array
from regiond.api.serializers.hosts import HOST_JSON
from regiond.hosts.model import HostChange, HostView, NewHost
from regiond.operations.model import Operation


async def _list(call: Call) -> Reply:
    return json_reply([HOST_JSON.encode(host) for host in await call.services.hosts.list()])


async def _create(call: Call) -> Reply:
    values = call.values
    new = NewHost(
        driver=DriverType(values["type"]),
        address=values["power_address"],
        name=values["name"],
        zone=values["zone"],
        pool=values["pool"],
        tags=values["tags"] or (),
        cpu_over_commit_ratio=_or_one(values["cpu_over_commit_ratio"]),
        memory_over_commit_ratio=_or_one(values["memory_over_commit_ratio"]),
        reserved_cores=values["reserved_cores"] or 0,
        reserved_memory_mib=values["reserved_memory"] or 0,
        default_macvlan_mode=values["default_macvlan_mode"],
        power_pass=values["power_pass"],
        project=values["project"] or "",
        **_lxd_credentials(values),
    )
    return json_reply(HOST_JSON.encode(await call.services.hosts.create(call.caller, new)))


def _lxd_credentials(values: Values) -> dict[str, str | None]:
    return {name: values[name] for name in ("password", "certificate", "key")}


def _or_one(ratio: float | None) -> float:
    return 1.0 if ratio is None else ratio


async def _read(call: Call) -> Reply:
    return json_reply(HOST_JSON.encode(call.target))


async def _update(call: Call) -> Reply:
    host: HostView = call.target
    values = call.values
    change = HostChange(
        driver=None if values["type"] is None else host.driver,
        address=values["power_address"],
        name=values["name"],
        zone=values["zone"],
        pool=values["pool"],
        tags=values["tags"],
        cpu_over_commit_ratio=values["cpu_over_commit_ratio"],
        memory_over_commit_ratio=values["memory_over_commit_ratio"],
        reserved_cores=values["reserved_cores"],
        reserved_memory_mib=values["reserved_memory"],
        default_storage_pool=values["default_storage_pool"],
        default_macvlan_mode=values["default_macvlan_mode"],
        power_pass=values["power_pass"],
        project=values["project"],
        **_lxd_credentials(values),
    )
    return json_reply(HOST_JSON.encode(await call.services.hosts.update(call.caller, host.id, change)))


async def _delete(call: Call) -> Reply:
    host: HostView = call.target
    operation = await call.services.hosts.start_remove(call.caller, host.id, decompose=call.values["decompose"])

    async def deleted(_: Operation) -> Reply:
        return empty_reply()

    return await when_done(call, operation, deleted)


HOSTS = Resource(
    handler="VmHostsHandler",
    path="vm-hosts/",
    doc="VM hosts: servers on which machines are composed.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="List VM hosts",
            doc="All VM hosts, sorted by id.",
            result=Result(doc="The VM hosts.", type=array(HOST_JSON)),
            run=_list,
        ),
        Endpoint(
            method="POST",
            permission=Permission.ADMIN,
            fields=host_fields.CREATE,
            title="Add a VM host",
            doc=(
                "Adds the host even if it cannot be reached; its totals are zero until a refresh succeeds. Changes "
                "nothing on the host."
            ),
            result=HOST_RESULT,
            check=host_fields.create_problems,
            run=_create,
        ),
        placement.PLACE,
    ),
)
HOST = Resource(
    handler="VmHostHandler",
    path="vm-hosts/{id}/",
    doc="One VM host.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="Read a VM host",
            result=HOST_RESULT,
            find=find_host,
            run=_read,
        ),
        Endpoint(
            method="PUT",
            permission=Permission.ADMIN,
            fields=host_fields.UPDATE,
            title="Update a VM host",
            doc="Changes only the given fields.",
            result=HOST_RESULT,
            find=find_host,
            check=host_fields.update_problems,
            run=_update,
        ),
        Endpoint(
            method="DELETE",
            permission=Permission.ADMIN,
            fields=(host_fields.DECOMPOSE,),
            title="Delete a VM host",
            result=Result(doc="Nothing."),
            success=204,
            find=find_host,
            run=_delete,
        ),
        vm_host_actions.REFRESH,
        vm_host_actions.PARAMETERS,
        vm_host_actions.ROTATE,
        vm_host_actions.PROJECTS,
        numa.numa(find_host),
        vm_host_actions.COMPOSE,
        adoption.adopt(find_host),
        vm_host_actions.ADD_TAG,
        vm_host_actions.REMOVE_TAG,
        vm_host_actions.TRUST,
    ),
)
RESOURCES = (
    HOSTS,
    HOST,
    HOSTS.also(handler="PodsHandler", path="pods/"),
    HOST.also(handler="PodHandler", path="pods/{id}/"),
)
