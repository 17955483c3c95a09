"""`machines/?op=allocate`: allocates a ready machine or composes one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regiond.api.declaration.endpoint import Call, Endpoint, Permission, Result
from regiond.api.declaration.field_types import Boolean, Integer, Text, TextList
from regiond.api.declaration.fields import Field, Format, Problems
from regiond.api.declaration.operation_wait import STARTED, answer_of, when_done
from regiond.api.declaration.serializer import one_of
from regiond.api.replies import Reply, json_reply
from regiond.api.resources.machines.machine_actions import COMMENT
from regiond.api.resources.shared.affinity_fields import AFFINITY
from regiond.api.resources.shared.compose_fields import INTERFACES, STORAGE, own_architecture
from regiond.api.serializers.allocation import (
    ALLOCATED_JSON,
    MACHINE_TO_COMPOSE_JSON,
    AllocatedMachine,
)
from regiond.machines.model import Allocated, AllocateRequest
from regiond.operations.model import Operation
from regiond.operations.service import outcome

_MANY = TextList(commas=True, max_length=256, max_items=256)


def _several(name: str, doc: str) -> Field:
    return Field(name=name, type=_MANY, recorded=True, default=(), doc=doc)


FIELDS = (
    Field(
        name="name",
        type=Text(max_length=253, blank=None),
        recorded=True,
        doc="Hostname of a machine. None is composed then.",
    ),
    Field(
        name="system_id",
        type=Text(max_length=64, blank=None),
        recorded=True,
        doc="System id of a machine. None is composed then.",
    ),
    _several("arch", "Architecture, such as amd64 or amd64/generic; several are alternatives."),
    _several("not_arch", "Architecture to exclude."),
    Field(name="cpu_count", type=Integer(), doc="Minimum number of cores.", example=2),
    Field(name="mem", type=Integer(), doc="Minimum memory in MiB.", format=Format.MIB, example=4096),
    Field(name="cpu_speed", type=Integer(), doc="Minimum CPU speed of the VM host in MHz, where it is known."),
    _several(
        "tags", "Tags that the machine must have, separated by commas or blanks. A machine has the tags of its host."
    ),
    _several("not_tags", "Tags that the machine must not have."),
    _several("zone", "Id or name of a zone; several are alternatives."),
    _several("not_in_zone", "Id or name of a zone to exclude."),
    _several("not_in_zones", "Same as not_in_zone."),
    _several("pool", "Id or name of a resource pool; several are alternatives."),
    _several("not_in_pool", "Id or name of a resource pool to exclude."),
    _several("not_in_pools", "Same as not_in_pool."),
    _several("pod", "Id or name of a VM host; several are alternatives."),
    _several("not_pod", "Id or name of a VM host to exclude."),
    _several("pod_type", "Type of the VM host: lxd or virsh."),
    _several("not_pod_type", "Type of VM host to exclude."),
    Field(
        name="storage",
        type=STORAGE,
        recorded=True,
        default="",
        doc="Disks as [label:]GB[(storage pool or tag,...)], comma-separated, the root disk first; 0 means any size.",
        format=Format.DISKS_GB,
    ),
    Field(
        name="interfaces",
        type=INTERFACES,
        recorded=True,
        default="",
        doc="NICs as label:key=value,..., separated by semicolons.",
    ),
    _several("subnets", "Subnets in each of which the machine has a NIC: id, name, CIDR or space:NAME."),
    _several("not_subnets", "Subnets in which the machine has no NIC."),
    _several("fabrics", "Fabrics in each of which the machine has a NIC: id, name or class:CLASS."),
    _several("not_fabrics", "Fabrics in which the machine has no NIC."),
    _several("fabric_classes", "Classes of fabrics, of each of which the machine has a NIC."),
    _several("not_fabric_classes", "Classes of fabrics of which the machine has no NIC."),
    _several(
        "vlans", "VLANs in each of which the machine has a NIC: VID, id:ID, name:NAME, space:NAME or fabric:NAME."
    ),
    _several("not_vlans", "VLANs in which the machine has no NIC."),
    Field(
        name="link_speed",
        type=Integer(),
        doc="Minimum speed in Mbit/s of the host's network interface to which one of its NICs is attached.",
    ),
    Field(
        name="agent_name",
        type=Text(max_length=255),
        recorded=True,
        default="",
        doc="Name of the calling program; machine listings can filter by it.",
    ),
    *AFFINITY,
    COMMENT,
    Field(
        name="bridge_all",
        type=Boolean(),
        default=False,
        doc="Only false: in the guest, user data of the deployment makes bridges.",
    ),
    Field(
        name="dry_run",
        type=Boolean(),
        default=False,
        doc="Only report which machine would be allocated or composed (default false).",
    ),
    Field(
        name="verbose",
        type=Boolean(),
        default=False,
        doc="Include the disks and NICs that match the labels (default false).",
    ),
)


_OF_BRIDGES = frozenset({"bridge_fd", "bridge_stp", "bridge_type"})  # they only matter with bridge_all


def _check(call: Call) -> Problems:
    if call.values["bridge_all"]:
        return {"bridge_all": ["Innkeeper makes no bridges in guests: user data of the deployment does."]}
    return {}


async def _allocate(call: Call) -> Reply:
    request = _request(call.values)
    verbose: bool = call.values["verbose"]
    allocation = call.services.allocation
    if call.values["dry_run"]:
        found = await allocation.dry_run(call.caller, request)
        if isinstance(found, Allocated):
            return json_reply(ALLOCATED_JSON.encode(AllocatedMachine(found=found, verbose=verbose)))
        return json_reply(MACHINE_TO_COMPOSE_JSON.encode(found))
    operation = await allocation.start(call.caller, request, idempotency_key=call.idempotency_key)

    async def answer(ended: Operation) -> Reply:
        return json_reply(
            ALLOCATED_JSON.encode(AllocatedMachine(found=await allocation.allocated(ended, request), verbose=verbose))
        )

    if operation.state.ended:  # an existing machine, or a repeat with the same idempotency key
        return await answer_of(outcome(operation), answer)
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
        cpu_speed_mhz=values["cpu_speed"],
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
        fabric_classes=values["fabric_classes"],
        not_fabric_classes=values["not_fabric_classes"],
        vlans=values["vlans"],
        not_vlans=values["not_vlans"],
        link_speed=(str(values["link_speed"]),) if values["link_speed"] else (),
        agent_name=values["agent_name"],
        comment=values["comment"],
        affinity=values["affinity"],
        anti_affinity=values["anti_affinity"],
    )


def _architectures(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(own_architecture(name) or "" for name in names)


def _words(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Splits at blanks too: tags contain none, and some clients separate tags by blanks."""
    return tuple(dict.fromkeys(word for text in texts for word in text.split()))


ALLOCATE = Endpoint(
    method="POST",
    op="allocate",
    permission=Permission.OPERATOR,
    expensive=True,
    fields=FIELDS,
    title="Allocate a machine",
    doc=(
        "Allocates the smallest ready machine that meets all constraints. If there is none, composes one with the same "
        "constraints, unless name or system_id is given. With dry_run nothing is allocated or composed. A constraint "
        "that Innkeeper does not have is an error, as are tags and architectures that nothing has."
    ),
    result=Result(
        doc="The machine, with the devices for each label; for a dry run also the machine to compose.",
        type=one_of(ALLOCATED_JSON, MACHINE_TO_COMPOSE_JSON),
    ),
    opens_operation=True,
    other_answers=(STARTED,),
    check=_check,
    accepted=_OF_BRIDGES,
    unknown_field="No such constraint.",
    run=_allocate,
)
