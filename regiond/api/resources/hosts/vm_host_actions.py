"""Actions on one VM host: refresh, compose, rotate, trust, tags, parameters, projects, racks, NUMA nodes."""

from __future__ import annotations

from attrs import evolve

from common.guests.compose_request import ComposeRequest
from regiond.api.declaration import crud
from regiond.api.declaration.dry_run import with_dry_run
from regiond.api.declaration.endpoint import Call, Endpoint, Result
from regiond.api.declaration.field_types import Secret, Text
from regiond.api.declaration.fields import Field, Problems
from regiond.api.declaration.operation_wait import STARTED, when_done
from regiond.api.declaration.serializer import STR, mapping
from regiond.api.declaration.served import given, serve, target
from regiond.api.replies import Reply, json_reply, with_warnings
from regiond.api.resources.hosts.placement import PLACED, placement_reply
from regiond.api.resources.shared import compose_fields, host_fields
from regiond.api.resources.shared.lookups import find_compose_target, find_host
from regiond.api.serializers.machines import COMPOSED_JSON
from regiond.api.serializers.racks import RACK_OF_HOST_JSON
from regiond.api.serializers.vm_hosts.capacity import NUMA_NODE_JSON
from regiond.api.serializers.vm_hosts.hosts import HOST_JSON, PROJECT_JSON
from regiond.hosts.model import ComposeTarget
from regiond.operations.model import Operation
from regiond.placement.storage_assignment import label_notes
from regiond.placement.storage_parser import parse_storage
from regiond.racks.model import RackOfHost
from regiond.requests.caller import Permission

HOST_RESULT = Result(doc="The VM host.", type=HOST_JSON)


async def _racks(call: Call) -> tuple[RackOfHost, ...]:
    return await call.services.racks.of_host(call.target.id, caller=call.caller)


async def _refresh(call: Call) -> Reply:
    return await _host_when_done(
        call, await call.services.hosts.start_refresh(call.caller, call.target.id, idempotency_key=call.idempotency_key)
    )


async def _rotate(call: Call) -> Reply:
    password: str | None = call.values["password"]
    operation = await call.services.hosts.start_rotate(
        call.caller, call.target.id, password=password, idempotency_key=call.idempotency_key
    )
    return await _host_when_done(call, operation)


async def _host_when_done(call: Call, operation: Operation) -> Reply:
    async def changed(_: Operation) -> Reply:
        return json_reply(HOST_JSON.encode(await call.services.hosts.read(call.target.id, caller=call.caller)))

    return await when_done(call, operation, changed)


async def _compose(call: Call) -> Reply:
    operation = await call.services.composer.start_compose(
        call.caller, _compose_request(call), idempotency_key=call.idempotency_key, need_rack=not call.respond_async
    )
    reply = await when_done(call, operation, _composed, announce=call.services.machines.announce)
    host: ComposeTarget = call.target
    notes = label_notes(parse_storage(call.values["storage"]), host.storage_pool_names, host.name)
    return with_warnings(reply, notes)


def _compose_request(call: Call) -> ComposeRequest:
    host: ComposeTarget = call.target
    values = call.values
    return evolve(
        compose_fields.compose_request(values),
        host_id=host.id,
        hostname=values["hostname"],
        zone=values["zone"],
        pool=values["pool"],
        power_on=values["power_on"],
    )


def _compose_problems(call: Call) -> Problems:
    return compose_fields.compose_problems(call.target, call.values, call.invalid)


async def _compose_name_problems(call: Call) -> Problems:
    problems = await call.services.composer.problems(call.caller, _compose_request(call))
    return compose_fields.without_derived(problems, call.invalid)


async def _composed(operation: Operation) -> Reply:
    return json_reply(COMPOSED_JSON.encode(operation.system_id or ""))


async def _placement(call: Call) -> Reply:
    """Answers the dry run of compose."""
    return await placement_reply(call, await call.services.composer.dry_run(call.caller, _compose_request(call)))


def _confirm_server_problems(call: Call) -> Problems:
    either = ("host", "identity")
    named = [name for name in either if call.values[name] is not None]
    if len(named) == 1 or not call.invalid.isdisjoint(either):
        return {}
    return {"host": ["Give either host or identity."]}


REFRESH = Endpoint(
    method="POST",
    op="refresh",
    permission=Permission.ADMIN,
    expensive=True,
    title="Refresh a VM host",
    doc="Reads the host's current state. Changes nothing on the host.",
    result=HOST_RESULT,
    opens_operation=True,
    other_answers=(STARTED,),
    find=find_host,
    run=_refresh,
)
PARAMETERS = crud.read(
    Result(doc="The parameters, as text.", type=mapping(STR)),
    serve(lambda s: s.hosts.parameters, host_id=target("id")),
    op="parameters",
    title="Read the connection parameters of a VM host",
    audited=True,
    find=find_host,
    permission=Permission.ADMIN,
)
ROTATE = Endpoint(
    method="POST",
    op="rotate",
    permission=Permission.ADMIN,
    fields=(
        Field(
            "password",
            Secret(max_length=64 * 1024, strip=True, blank=None),
            "A trust token for the new certificate; required if the current one is restricted to projects.",
            example="trust-token",
        ),
    ),
    title="Rotate the credentials of an LXD server",
    doc=(
        "Creates a key pair, adds it to the server's trust store, switches every rack to it and removes the "
        "old one from the trust store. Nothing is interrupted."
    ),
    result=HOST_RESULT,
    opens_operation=True,
    other_answers=(STARTED,),
    find=find_host,
    run=_rotate,
)
PROJECTS = crud.list_of(
    PROJECT_JSON,
    serve(lambda s: s.hosts.projects, host_id=target("id")),
    op="projects",
    title="List the projects of a VM host's server",
    doc="Includes what their guests use. Empty on hosts without projects.",
    result="The projects.",
    find=find_host,
    permission=Permission.ADMIN,
)
COMPOSE = with_dry_run(
    Endpoint(
        method="POST",
        op="compose",
        permission=Permission.OPERATOR,
        expensive=True,
        fields=compose_fields.COMPOSE,
        title="Compose a machine",
        doc=(
            "Creates a virtual machine on this host. After 8 s the answer is the id of the machine that is being "
            "created: it is Commissioning, then Ready, or Failed commissioning with the reason. With the header "
            "Idempotency-Key a repeated request composes nothing new; with Prefer: respond-async the response is the "
            "operation."
        ),
        result=Result(doc="The id of the machine.", type=COMPOSED_JSON),
        opens_operation=True,
        other_answers=(STARTED,),
        find=find_compose_target,
        check=_compose_problems,
        check_names=_compose_name_problems,
        run=_compose,
    ),
    _placement,
    result=PLACED,
    doc="Change nothing; answer 200 with the placement, or with why the host is rejected (default false).",
)
NUMA = crud.list_of(
    NUMA_NODE_JSON,
    serve(lambda s: s.hosts.numa, host_id=target("id")),
    op="numa",
    title="List the NUMA nodes of a VM host's server",
    doc=(
        "Shows what pinned virtual machines use of each node, machines and foreign guests, and what all virtual "
        "machines claim of the whole server: the hypervisor chooses the node of those without pins. Empty before the "
        "first successful refresh and on hypervisors that report no NUMA nodes."
    ),
    result="The NUMA nodes, by id.",
    find=find_host,
)
RACKS = crud.list_of(
    RACK_OF_HOST_JSON,
    _racks,
    op="racks",
    title="List the racks of a VM host",
    doc=(
        "The racks that serve the host's zone. `reaches` is the last attempt of each, null before the first; "
        "administrators see the reason. Of those that are connected, one that reaches the host is asked first."
    ),
    result="The racks, by name.",
    find=find_host,
)
ADD_TAG = crud.action(
    "add_tag",
    HOST_RESULT,
    serve(lambda s: s.hosts.add_tag, "tag", host_id=target("id")),
    title="Add a tag to a VM host",
    fields=(host_fields.TAG,),
    find=find_host,
)
REMOVE_TAG = crud.action(
    "remove_tag",
    HOST_RESULT,
    serve(lambda s: s.hosts.remove_tag, "tag", host_id=target("id")),
    title="Remove a tag from a VM host",
    doc="A tag that the host does not have is not an error.",
    fields=(host_fields.TAG,),
    find=find_host,
)
TRUST = crud.action(
    "trust",
    HOST_RESULT,
    serve(lambda s: s.hosts.trust, "fingerprint", host_id=target("id")),
    title="Trust the changed identity of a VM host",
    doc="A host whose certificate or key has changed is rejected until an administrator accepts the new one.",
    fields=(
        Field(
            "fingerprint",
            Text(max_length=255),
            "The current fingerprint of the host, as shown in the error message.",
            recorded=True,
            required=True,
            example="SHA256:abc",
        ),
    ),
    find=find_host,
)
CONFIRM_SERVER = crud.action(
    "confirm_server",
    HOST_RESULT,
    serve(lambda s: s.hosts.confirm_server, "identity", host_id=target("id"), same_as=given("host")),
    title="Confirm which server a VM host is",
    doc=(
        "A host that reports the identity of another host's server, or another identity than before, is rejected "
        "until an administrator confirms it."
    ),
    fields=(
        Field(
            "host", Text(max_length=255), "The VM host, by id or name, whose server this host is too.", recorded=True
        ),
        Field(
            "identity",
            Text(max_length=400),
            "The new identity of this host's server, as shown in the error message.",
            recorded=True,
            example="virsh/libvirt:system:4c4c4544-0031-4a10-8052-b4c04f4e3332",
        ),
    ),
    find=find_host,
    check=_confirm_server_problems,
)
