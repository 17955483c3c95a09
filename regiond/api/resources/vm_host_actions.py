"""Actions on one VM host: refresh, compose, rotate, trust, tags, parameters and projects."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve

from common.compose_request import ComposeRequest
from regiond.api.endpoint import Call, Endpoint, Permission, Result
from regiond.api.field_types import Text
from regiond.api.fields import Field, Problems
from regiond.api.operation_wait import when_done
from regiond.api.replies import Reply, json_reply
from regiond.api.resources import compose_fields, host_fields
from regiond.api.serializer import STR, array, mapping
from regiond.api.serializers.hosts import HOST_JSON, PROJECT_JSON
from regiond.api.serializers.machines import COMPOSED_JSON
from regiond.api.services import Services
from regiond.api.urls import id_in
from regiond.hosts.model import HostView
from regiond.operations.model import Operation

HOST_RESULT = Result(doc="The VM host.", type=HOST_JSON)


async def find_host(services: Services, path: Mapping[str, str]) -> HostView:
    return await services.hosts.read(id_in(path["id"], "Pod"))


async def _refresh(call: Call) -> Reply:
    host: HostView = call.target

    async def refreshed(_: Operation) -> Reply:
        return json_reply(HOST_JSON.encode(await call.services.hosts.read(host.id)))

    return await when_done(call, await call.services.hosts.start_refresh(call.caller, host.id), refreshed)


async def _parameters(call: Call) -> Reply:
    host: HostView = call.target
    return json_reply(await call.services.hosts.parameters(call.caller, host.id))


async def _rotate(call: Call) -> Reply:
    host: HostView = call.target

    async def rotated(_: Operation) -> Reply:
        return json_reply(HOST_JSON.encode(await call.services.hosts.read(host.id)))

    operation = await call.services.hosts.start_rotate(call.caller, host.id, password=call.values["password"])
    return await when_done(call, operation, rotated)


async def _projects(call: Call) -> Reply:
    host: HostView = call.target
    found = await call.services.hosts.projects(call.caller, host.id)
    return json_reply([PROJECT_JSON.encode(project) for project in found])


async def _compose(call: Call) -> Reply:
    operation = await call.services.machines.start_compose(
        call.caller, _compose_request(call), idempotency_key=call.idempotency_key, need_rack=not call.respond_async
    )
    return await when_done(call, operation, _composed)


def _compose_request(call: Call) -> ComposeRequest:
    host: HostView = call.target
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
    problems = await call.services.machines.compose_problems(_compose_request(call))
    return compose_fields.without_derived(problems, call.invalid)


async def _composed(operation: Operation) -> Reply:
    return json_reply(COMPOSED_JSON.encode(operation.system_id or ""))


async def _add_tag(call: Call) -> Reply:
    host: HostView = call.target
    changed = await call.services.hosts.add_tag(call.caller, host.id, _tag(call))
    return json_reply(HOST_JSON.encode(changed))


async def _remove_tag(call: Call) -> Reply:
    host: HostView = call.target
    changed = await call.services.hosts.remove_tag(call.caller, host.id, _tag(call))
    return json_reply(HOST_JSON.encode(changed))


def _tag(call: Call) -> str:
    tag: str = call.values["tag"]
    return tag


async def _trust(call: Call) -> Reply:
    host: HostView = call.target
    trusted = await call.services.hosts.trust(call.caller, host.id, call.values["fingerprint"])
    return json_reply(HOST_JSON.encode(trusted))


REFRESH = Endpoint(
    method="POST",
    op="refresh",
    permission=Permission.ADMIN,
    title="Refresh a VM host",
    doc="Reads the host's current state. Changes nothing on the host.",
    result=HOST_RESULT,
    find=find_host,
    run=_refresh,
)
PARAMETERS = Endpoint(
    method="GET",
    op="parameters",
    permission=Permission.ADMIN,
    title="Read the connection parameters of a VM host",
    result=Result(doc="The parameters, as text.", type=mapping(STR)),
    find=find_host,
    run=_parameters,
)
ROTATE = Endpoint(
    method="POST",
    op="rotate",
    permission=Permission.ADMIN,
    fields=(
        Field(
            name="password",
            type=Text(max_length=64 * 1024, blank=None),
            doc="A trust token for the new certificate; required if the current one is restricted to projects.",
        ),
    ),
    title="Rotate the credentials of an LXD server",
    doc=(
        "Creates a key pair, adds it to the server's trust store, switches every rack to it and removes the "
        "old one from the trust store. Nothing is interrupted."
    ),
    result=HOST_RESULT,
    find=find_host,
    run=_rotate,
)
PROJECTS = Endpoint(
    method="GET",
    op="projects",
    permission=Permission.ADMIN,
    title="List the projects of a VM host's server",
    doc="Includes what their guests use. Empty on hosts without projects.",
    result=Result(doc="The projects.", type=array(PROJECT_JSON)),
    find=find_host,
    run=_projects,
)
COMPOSE = Endpoint(
    method="POST",
    op="compose",
    permission=Permission.ADMIN,
    fields=compose_fields.COMPOSE,
    title="Compose a machine",
    doc=(
        "Creates a virtual machine on this host. With the header Idempotency-Key a repeated request composes "
        "nothing new; with Prefer: respond-async the response is the operation."
    ),
    result=Result(doc="The id of the machine.", type=COMPOSED_JSON),
    find=find_host,
    check=_compose_problems,
    check_names=_compose_name_problems,
    run=_compose,
)
ADD_TAG = Endpoint(
    method="POST",
    op="add_tag",
    permission=Permission.ADMIN,
    fields=(host_fields.TAG,),
    title="Add a tag to a VM host",
    result=HOST_RESULT,
    find=find_host,
    run=_add_tag,
)
REMOVE_TAG = Endpoint(
    method="POST",
    op="remove_tag",
    permission=Permission.ADMIN,
    fields=(host_fields.TAG,),
    title="Remove a tag from a VM host",
    doc="A tag that the host does not have is not an error.",
    result=HOST_RESULT,
    find=find_host,
    run=_remove_tag,
)
TRUST = Endpoint(
    method="POST",
    op="trust",
    permission=Permission.ADMIN,
    fields=(
        Field(
            name="fingerprint",
            type=Text(max_length=255),
            required=True,
            doc="The current fingerprint of the host, as shown in the error message.",
        ),
    ),
    title="Trust the changed identity of a VM host",
    doc="A host whose certificate or key has changed is rejected until an administrator accepts the new one.",
    result=HOST_RESULT,
    find=find_host,
    run=_trust,
)
