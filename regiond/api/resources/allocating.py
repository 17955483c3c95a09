"""`machines/?op=allocate`: a machine of one's own, there or composed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regiond.api import machine_shapes
from regiond.api.encoding.allocation import encode_allocated, encode_would_compose
from regiond.api.endpoint import Call, Endpoint, Permission, Result
from regiond.api.fields import Boolean, Field, Integer, Text, TextList
from regiond.api.replies import Reply, json_reply
from regiond.api.resources.host_fields import own_architecture
from regiond.api.resources.machine_life import COMMENT
from regiond.api.waiting import when_done
from regiond.machines.allocating import Allocated
from regiond.machines.model import AllocateRequest
from regiond.operations.model import Operation
from regiond.operations.service import outcome

_MANY = TextList(commas=True, longest=256, most=256)
_CONSTRAINTS = Text(longest=16384)


def _several(name: str, doc: str) -> Field:
    return Field(name=name, kind=_MANY, default=(), doc=doc)


FIELDS = (
    Field(name="name", kind=Text(longest=253, blank=None), doc="Hostname of a machine; then none is composed."),
    Field(name="system_id", kind=Text(longest=64, blank=None), doc="System id of a machine; then none is composed."),
    _several("arch", "Architectures, such as amd64 or amd64/generic; one of several."),
    _several("not_arch", "Architectures that it has not."),
    Field(name="cpu_count", kind=Integer(), doc="Cores, at least."),
    Field(name="mem", kind=Integer(), doc="Memory in MiB, at least."),
    _several("tags", "Tags, separated by commas or blanks; all of them. A machine has those of its host."),
    _several("not_tags", "Tags that it has none of."),
    _several("zone", "Id or name of the zone; one of several."),
    _several("not_in_zone", "Id or name of a zone where it is not."),
    _several("not_in_zones", "As not_in_zone."),
    _several("pool", "Id or name of the resource pool; one of several."),
    _several("not_in_pool", "Id or name of a resource pool where it is not."),
    _several("not_in_pools", "As not_in_pool."),
    _several("pod", "Id or name of the VM host; one of several."),
    _several("not_pod", "Id or name of a VM host where it is not."),
    _several("pod_type", "Type of the VM host, lxd or virsh."),
    _several("not_pod_type", "Type that the VM host is not of."),
    Field(
        name="storage",
        kind=_CONSTRAINTS,
        default="",
        doc="Disks as [label:]GB[(storage pool or tag,...)], separated by commas; the root disk first, 0 for any size.",
    ),
    Field(
        name="interfaces",
        kind=_CONSTRAINTS,
        default="",
        doc="Cards as label:key=value,..., separated by semicolons.",
    ),
    _several("subnets", "Subnets in each of which it has a card: id, name, CIDR or space:NAME."),
    _several("not_subnets", "Subnets in which it has none."),
    _several("fabrics", "Fabrics in each of which it has a card: id, name or class:CLASS."),
    _several("not_fabrics", "Fabrics in which it has none."),
    Field(name="agent_name", kind=Text(longest=255), default="", doc="Who asks; machines are filtered by it."),
    COMMENT,
    Field(
        name="dry_run",
        kind=Boolean(),
        default=False,
        doc="Only say which machine it would be, or where one would be composed.",
    ),
    Field(name="verbose", kind=Boolean(), default=False, doc="Show the disks and cards that were found for labels."),
)


async def _allocate(call: Call) -> Reply:
    request = _request(call.values)
    verbose: bool = call.values["verbose"]
    allocation = call.services.allocation
    if call.values["dry_run"]:
        found = await allocation.dry_run(request)
        if isinstance(found, Allocated):
            return json_reply(encode_allocated(found, verbose=verbose))
        return json_reply(encode_would_compose(found, request))
    operation = await allocation.start(call.caller, request, idempotency_key=call.idempotency_key)

    async def answer(ended: Operation) -> Reply:
        return json_reply(encode_allocated(await allocation.allocated(ended, request), verbose=verbose))

    if operation.state.ended:  # a machine that was there, or what an idempotency key stands for
        return await answer(outcome(operation))
    return await when_done(call, operation, answer)


def _request(values: Mapping[str, Any]) -> AllocateRequest:
    name: str | None = values["name"]
    return AllocateRequest(
        system_id=values["system_id"],
        name=None if name is None else name.lower().partition(".")[0],
        architectures=_architectures(values["arch"]),
        not_architectures=_architectures(values["not_arch"]),
        cores=values["cpu_count"],
        memory_mib=values["mem"],
        tags=_words(values["tags"]),
        not_tags=_words(values["not_tags"]),
        zones=values["zone"],
        not_in_zones=values["not_in_zone"] + values["not_in_zones"],
        pools=values["pool"],
        not_in_pools=values["not_in_pool"] + values["not_in_pools"],
        pods=values["pod"],
        not_pods=values["not_pod"],
        pod_types=values["pod_type"],
        not_pod_types=values["not_pod_type"],
        storage=values["storage"],
        interfaces=values["interfaces"],
        subnets=values["subnets"],
        not_subnets=values["not_subnets"],
        fabrics=values["fabrics"],
        not_fabrics=values["not_fabrics"],
        agent_name=values["agent_name"],
        comment=values["comment"],
    )


def _architectures(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(own_architecture(name) or "" for name in names)


def _words(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Tags hold no blanks, and some clients put blanks between them."""
    return tuple(dict.fromkeys(word for text in texts for word in text.split()))


# For any user: a machine composed for somebody is theirs, and nobody is asked for more than what is free.
ALLOCATE = Endpoint(
    method="POST",
    op="allocate",
    permission=Permission.USER,
    fields=FIELDS,
    title="Allocate a machine",
    doc=(
        "The cheapest ready machine that meets all constraints becomes yours; when there is none, one is composed by "
        "the same constraints, unless name or system_id was given. With dry_run nothing is taken or composed."
    ),
    result=Result(doc="The machine and what its labels mean.", schema=machine_shapes.ALLOCATED),
    run=_allocate,
)
