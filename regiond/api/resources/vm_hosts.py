"""`vm-hosts/` and `vm-hosts/{id}/`, which are also `pods/`."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve

from regiond.api import machine_shapes, schemas, shapes
from regiond.api.encoding.hosts import encode_host, encode_project
from regiond.api.endpoint import Call, Endpoint, Permission, Resource, Result
from regiond.api.fields import Field, Text, Values
from regiond.api.paths import id_in, machine_uri
from regiond.api.replies import Reply, empty_reply, json_reply
from regiond.api.resources import adoption, host_fields, numa, placing
from regiond.api.services import Services
from regiond.api.waiting import when_done
from regiond.hosts import addresses
from regiond.hosts.model import HostChange, HostView, NewHost
from regiond.operations.model import Operation

_HOST_RESULT = Result(doc="The VM host.", schema=shapes.VM_HOST)


async def find_host(services: Services, path: Mapping[str, str]) -> HostView:
    return await services.hosts.read(id_in(path["id"], "Pod"))


async def _list(call: Call) -> Reply:
    return json_reply([encode_host(host) for host in await call.services.hosts.list()])


async def _create(call: Call) -> Reply:
    simulated = call.info.simulated_hosts
    values = call.values
    driver = host_fields.driver_named(values["type"], simulated_hosts=simulated)
    addresses.parse(driver, values["power_address"], simulated_allowed=simulated)
    new = NewHost(
        driver=driver,
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
    return json_reply(encode_host(await call.services.hosts.create(call.caller, new)))


def _lxd_credentials(values: Values) -> dict[str, str | None]:
    return {name: values[name] for name in ("password", "certificate", "key")}


def _or_one(ratio: float | None) -> float:
    return 1.0 if ratio is None else ratio


async def _read(call: Call) -> Reply:
    return json_reply(encode_host(call.target))


async def _update(call: Call) -> Reply:
    host: HostView = call.target
    values = call.values
    host_fields.check_same_type(host, values["type"])
    if values["power_address"] is not None:
        addresses.parse(host.driver, values["power_address"], simulated_allowed=call.info.simulated_hosts)
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
    return json_reply(encode_host(await call.services.hosts.update(call.caller, host.id, change)))


async def _delete(call: Call) -> Reply:
    host: HostView = call.target
    operation = await call.services.hosts.start_remove(call.caller, host.id, decompose=call.values["decompose"])

    async def gone(_: Operation) -> Reply:
        return empty_reply()

    return await when_done(call, operation, gone)


async def _refresh(call: Call) -> Reply:
    host: HostView = call.target

    async def refreshed(_: Operation) -> Reply:
        return json_reply(encode_host(await call.services.hosts.read(host.id)))

    return await when_done(call, await call.services.hosts.start_refresh(call.caller, host.id), refreshed)


async def _parameters(call: Call) -> Reply:
    host: HostView = call.target
    return json_reply(await call.services.hosts.parameters(call.caller, host.id))


async def _rotate(call: Call) -> Reply:
    host: HostView = call.target

    async def rotated(_: Operation) -> Reply:
        return json_reply(encode_host(await call.services.hosts.read(host.id)))

    operation = await call.services.hosts.start_rotate(call.caller, host.id, password=call.values["password"])
    return await when_done(call, operation, rotated)


async def _projects(call: Call) -> Reply:
    host: HostView = call.target
    found = await call.services.hosts.projects(call.caller, host.id)
    return json_reply([encode_project(project) for project in found])


async def _compose(call: Call) -> Reply:
    host: HostView = call.target
    values = call.values
    host_fields.check_compose(host, values)
    request = evolve(
        host_fields.compute_of(values),
        host_id=host.id,
        hostname=values["hostname"],
        zone=values["zone"],
        pool=values["pool"],
        power_on=values["power_on"],
    )
    operation = await call.services.machines.start_compose(
        call.caller, request, idempotency_key=call.idempotency_key, need_rack=not call.respond_async
    )
    return await when_done(call, operation, _composed)


async def _composed(operation: Operation) -> Reply:
    system_id = operation.system_id or ""
    return json_reply({"system_id": system_id, "resource_uri": machine_uri(system_id)})


async def _add_tag(call: Call) -> Reply:
    host: HostView = call.target
    changed = await call.services.hosts.add_tag(call.caller, host.id, _tag(call))
    return json_reply(encode_host(changed))


async def _remove_tag(call: Call) -> Reply:
    host: HostView = call.target
    changed = await call.services.hosts.remove_tag(call.caller, host.id, _tag(call))
    return json_reply(encode_host(changed))


def _tag(call: Call) -> str:
    tag: str = call.values["tag"]
    return tag


async def _trust(call: Call) -> Reply:
    host: HostView = call.target
    trusted = await call.services.hosts.trust(call.caller, host.id, call.values["fingerprint"])
    return json_reply(encode_host(trusted))


HOSTS = Resource(
    handler="VmHostsHandler",
    path="vm-hosts/",
    doc="VM hosts: the servers on which machines are composed.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="List VM hosts",
            doc="All VM hosts, by id.",
            result=Result(doc="The VM hosts.", schema=schemas.array(shapes.VM_HOST)),
            run=_list,
        ),
        Endpoint(
            method="POST",
            permission=Permission.ADMIN,
            fields=host_fields.CREATE,
            title="Add a VM host",
            doc=(
                "It is added even when it cannot be reached yet: then its totals are zero, and a refresh says why. "
                "Nothing on the host is changed."
            ),
            result=_HOST_RESULT,
            run=_create,
        ),
        placing.PLACE,
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
            result=_HOST_RESULT,
            find=find_host,
            run=_read,
        ),
        Endpoint(
            method="PUT",
            permission=Permission.ADMIN,
            fields=host_fields.UPDATE,
            title="Update a VM host",
            doc="What is left out stays as it is.",
            result=_HOST_RESULT,
            find=find_host,
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
        Endpoint(
            method="POST",
            op="refresh",
            permission=Permission.ADMIN,
            title="Refresh a VM host",
            doc="Look at the host again. Only reads there.",
            result=_HOST_RESULT,
            find=find_host,
            run=_refresh,
        ),
        Endpoint(
            method="GET",
            op="parameters",
            permission=Permission.ADMIN,
            title="Read the connection parameters of a VM host",
            result=Result(doc="The parameters, all of them text.", schema=schemas.mapping(schemas.STR)),
            find=find_host,
            run=_parameters,
        ),
        Endpoint(
            method="POST",
            op="rotate",
            permission=Permission.ADMIN,
            fields=(
                Field(
                    name="password",
                    kind=Text(longest=64 * 1024, blank=None),
                    doc="A trust token for the new certificate; needed where ours is restricted to projects.",
                ),
            ),
            title="Rotate the credentials of an LXD server",
            doc=(
                "Makes a new key pair, has the server trust it, switches every rack to it and takes the old one off "
                "the server's trust list. Nothing is interrupted."
            ),
            result=_HOST_RESULT,
            find=find_host,
            run=_rotate,
        ),
        Endpoint(
            method="GET",
            op="projects",
            permission=Permission.ADMIN,
            title="List the projects of a VM host's server",
            doc="With what their guests were given. Empty on hosts that know no projects.",
            result=Result(doc="The projects.", schema=schemas.array(shapes.PROJECT)),
            find=find_host,
            run=_projects,
        ),
        numa.numa(find_host),
        Endpoint(
            method="POST",
            op="compose",
            permission=Permission.ADMIN,
            fields=host_fields.COMPOSE,
            title="Compose a machine",
            doc=(
                "Makes a virtual machine on this host. With the header Idempotency-Key a repeat of the request "
                "composes nothing new; with Prefer: respond-async the answer is the operation."
            ),
            result=Result(doc="Which machine it is.", schema=machine_shapes.COMPOSED),
            find=find_host,
            run=_compose,
        ),
        adoption.adopt(find_host),
        Endpoint(
            method="POST",
            op="add_tag",
            permission=Permission.ADMIN,
            fields=(host_fields.TAG,),
            title="Add a tag to a VM host",
            result=_HOST_RESULT,
            find=find_host,
            run=_add_tag,
        ),
        Endpoint(
            method="POST",
            op="remove_tag",
            permission=Permission.ADMIN,
            fields=(host_fields.TAG,),
            title="Remove a tag from a VM host",
            doc="A tag that it does not have is no error.",
            result=_HOST_RESULT,
            find=find_host,
            run=_remove_tag,
        ),
        Endpoint(
            method="POST",
            op="trust",
            permission=Permission.ADMIN,
            fields=(
                Field(
                    name="fingerprint",
                    kind=Text(longest=255),
                    required=True,
                    doc="The fingerprint that the host shows now, as the error named it.",
                ),
            ),
            title="Trust the changed identity of a VM host",
            doc="A host whose key has changed is refused until a person who has compared the keys says so.",
            result=_HOST_RESULT,
            find=find_host,
            run=_trust,
        ),
    ),
)
RESOURCES = (
    HOSTS,
    HOST,
    HOSTS.also(handler="PodsHandler", path="pods/"),
    HOST.also(handler="PodHandler", path="pods/{id}/"),
)
