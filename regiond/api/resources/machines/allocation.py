"""`machines/?op=allocate`: allocates a ready machine or composes one."""

from __future__ import annotations

from regiond.api.declaration.endpoint import Call, Endpoint, Result
from regiond.api.declaration.field_types import Boolean, Integer, Text, TextList
from regiond.api.declaration.fields import Field, Format, Problems
from regiond.api.declaration.operation_wait import STARTED, answer_of, when_done
from regiond.api.declaration.serializer import one_of
from regiond.api.declaration.served import Source, filled, given
from regiond.api.replies import Reply, json_reply
from regiond.api.resources.machines.machine_actions import COMMENT
from regiond.api.resources.shared.affinity_fields import AFFINITY
from regiond.api.resources.shared.compose_fields import INTERFACES, STORAGE, own_architecture
from regiond.api.serializers.allocation import ALLOCATED_JSON, MACHINE_TO_COMPOSE_JSON, AllocatedMachine
from regiond.machines.values.model import Allocated
from regiond.machines.values.requests import AllocateRequest
from regiond.operations.model import Operation
from regiond.operations.service import outcome
from regiond.requests.caller import Permission

_MANY = TextList(commas=True, max_length=256, max_items=256)


def _several(name: str, doc: str) -> Field:
    return Field(name, _MANY, doc, recorded=True, default=())


FIELDS = (
    Field("name", Text(max_length=253, blank=None), "Hostname of a machine. None is composed then.", recorded=True),
    Field(
        "system_id", Text(max_length=64, blank=None), "System id of a machine. None is composed then.", recorded=True
    ),
    _several("arch", "Architecture, such as amd64 or amd64/generic; several are alternatives."),
    _several("not_arch", "Architecture to exclude."),
    Field("cpu_count", Integer(), "Minimum number of cores.", example=2),
    Field("mem", Integer(), "Minimum memory in MiB.", format=Format.MIB, example=4096),
    Field("cpu_speed", Integer(), "Minimum CPU speed of the VM host in MHz, where it is known."),
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
        "storage",
        STORAGE,
        "Disks as [label:]GB[(storage pool or tag,...)], comma-separated, the root disk first; 0 means any size.",
        recorded=True,
        default="",
        format=Format.DISKS_GB,
    ),
    Field("interfaces", INTERFACES, "NICs as label:key=value,..., separated by semicolons.", recorded=True, default=""),
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
        "link_speed",
        Integer(),
        "Minimum speed in Mbit/s of the host's network interface to which one of its NICs is attached.",
    ),
    Field(
        "agent_name",
        Text(max_length=255),
        "Name of the calling program; machine listings can filter by it.",
        recorded=True,
        default="",
    ),
    *AFFINITY,
    COMMENT,
    Field(
        "bridge_all", Boolean(), "Only false: in the guest, user data of the deployment makes bridges.", default=False
    ),
    Field(
        "dry_run", Boolean(), "Only report which machine would be allocated or composed (default false).", default=False
    ),
    Field("verbose", Boolean(), "Include the disks and NICs that match the labels (default false).", default=False),
)


_OF_BRIDGES = frozenset({"bridge_fd", "bridge_stp", "bridge_type"})  # without bridge_all they have no effect


def _check(call: Call) -> Problems:
    if call.values["bridge_all"]:
        return {"bridge_all": ["Innkeeper makes no bridges in guests: user data of the deployment does."]}
    return {}


def _hostname(call: Call) -> str | None:
    name: str | None = call.values["name"]
    return None if name is None else name.lower().partition(".")[0]


def _architectures(field: str) -> Source:
    return lambda call: tuple(own_architecture(name) or "" for name in call.values[field])


def _words(field: str) -> Source:
    """Returns a source of the field's words, split at blanks too: some clients separate tags by blanks."""
    return lambda call: tuple(dict.fromkeys(word for text in call.values[field] for word in text.split()))


def _of_both(field: str, other: str) -> Source:
    return lambda call: call.values[field] + call.values[other]


def _link_speed(call: Call) -> tuple[str, ...]:
    return (str(call.values["link_speed"]),) if call.values["link_speed"] else ()


_request = filled(
    AllocateRequest,
    name=_hostname,
    architectures=_architectures("arch"),
    not_architectures=_architectures("not_arch"),
    cores=given("cpu_count"),
    memory_mib=given("mem"),
    cpu_speed_mhz=given("cpu_speed"),
    tags=_words("tags"),
    not_tags=_words("not_tags"),
    zones=given("zone"),
    not_in_zones=_of_both("not_in_zone", "not_in_zones"),
    pools=given("pool"),
    not_in_pools=_of_both("not_in_pool", "not_in_pools"),
    pods=given("pod"),
    not_pods=given("not_pod"),
    pod_types=given("pod_type"),
    not_pod_types=given("not_pod_type"),
    link_speed=_link_speed,
)


async def _allocate(call: Call) -> Reply:
    request = _request(call)
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
    return await when_done(call, operation, answer, to_end=True)


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
