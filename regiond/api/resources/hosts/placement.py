"""`vm-hosts/?op=place`: a dry run of compose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import evolve

from common.errors import InvalidRequest
from common.guests.compose_request import ComposeRequest
from regiond.api.declaration.endpoint import Call, Endpoint, Result
from regiond.api.declaration.field_types import Choice, Integer, Text, TextList
from regiond.api.declaration.fields import Field, Problems, Values
from regiond.api.declaration.operation_wait import STARTED, when_done
from regiond.api.replies import Reply, json_reply, with_warnings
from regiond.api.resources.shared.compose_fields import COMPOSE, compose_request, without_derived
from regiond.api.resources.shared.host_fields import GROUP
from regiond.api.serializers.machines import COMPOSED_JSON
from regiond.api.serializers.placement import HOST_CAPACITY_JSON, PLACED_JSON
from regiond.machines.arrivals.compose.requirements import syntax_problems
from regiond.machines.values.requests import HostConstraints
from regiond.operations.model import Operation
from regiond.placement.model import DryRun, explain
from regiond.requests.caller import Permission
from regiond.requests.identifiers import numbered_names

_ARCHITECTURE = Field(
    "architecture",
    Text(
        max_length=64,
        pattern="[a-z0-9]+(?:/generic)?",
        message="Enter an architecture such as amd64/generic.",
        blank=None,
    ),
    "Architecture, such as amd64/generic (default: any).",
    recorded=True,
)
_LIKE_COMPOSE = {
    "cores",
    "memory",
    "cpu_speed",
    "storage",
    "interfaces",
    "pinned_cores",
    "pin_cores",
    "hugepages_backed",
    "hugepage_size",
    "one_numa_node",
    "max_cores",
    "max_memory",
    "uefi",
    "secure_boot",
    "tpm",
    "owner",
    "register_in_maas",
    "stock",
    "affinity",
    "anti_affinity",
    "template",
}
MOST_AT_ONCE = 20  # machines of one dry run


_OF_MACHINE = {"hostname", "power_on"}


def _several(name: str, doc: str, *, commas: bool = True) -> Field:
    many = TextList(commas=commas, max_length=256, max_items=256)
    return Field(name, many, doc, recorded=True, default=())


# `zone` and `pool` of these calls are of the host.
_GROUPS_OF_MACHINE = (
    Field("machine_zone", GROUP, "Id or name of the machine's zone (default: that of the host).", recorded=True),
    Field(
        "machine_pool", GROUP, "Id or name of the machine's resource pool (default: that of the host).", recorded=True
    ),
)
FIELDS = (
    *(one for one in COMPOSE if one.name in _LIKE_COMPOSE),
    _ARCHITECTURE,
    _several("host", "Id or name of a VM host; may be repeated for alternatives.", commas=False),
    _several("zone", "Id or name of the host's zone; several are alternatives."),
    _several("not_in_zone", "Id or name of a zone to exclude."),
    _several("pool", "Id or name of the host's resource pool; several are alternatives."),
    _several("not_in_pool", "Id or name of a resource pool to exclude."),
    _several("tags", "Tags that the host must have."),
    _several("not_tags", "Tags that the host must not have."),
    *_GROUPS_OF_MACHINE,
)
_DRY_RUN_ONLY = (
    Field(
        "strategy",
        Choice(choices=("spread", "pack")),
        "spread prefers the host with the most capacity left, pack the one with the least (default: as compose).",
    ),
    Field(
        "count",
        Integer(minimum=1, maximum=MOST_AT_ONCE),
        "Number of equal machines, each placed as if the ones before it were composed (default 1).",
        default=1,
    ),
)


def _problems(call: Call) -> Problems:
    return without_derived(syntax_problems(compose_request(call.values)), call.invalid)


async def _name_problems(call: Call) -> Problems:
    problems = await call.services.composer.problems(call.caller, _request(call.values), _constraints(call.values))
    return without_derived(problems, call.invalid)


def _constraints(values: Values) -> HostConstraints:
    return HostConstraints(
        hosts=values["host"],
        zones=values["zone"],
        not_in_zones=values["not_in_zone"],
        pools=values["pool"],
        not_in_pools=values["not_in_pool"],
        tags=values["tags"],
        not_tags=values["not_tags"],
        cpu_speed_mhz=values["cpu_speed"],
    )


async def _place_problems(call: Call) -> Problems:
    """Several machines have numbered names, all of which have to be free."""
    values, composer = call.values, call.services.composer
    problems = await composer.problems(call.caller, evolve(_request(values), hostname=None), _constraints(values))
    taken = await composer.hostname_problems(numbered_names(values["hostname"], values["count"]))
    return without_derived({**problems, **taken}, call.invalid)


async def _place(call: Call) -> Reply:
    values = call.values
    if values["hostname"] is not None and "hostname" in (problems := await _place_problems(call)):
        raise InvalidRequest.of(problems)
    found = await call.services.composer.dry_run(
        call.caller,
        evolve(_request(values), hostname=None),
        _constraints(values),
        strategy=values["strategy"],
        count=values["count"],
    )
    reply = await placement_reply(call, found)
    return with_warnings(reply, found.fitting[0].notes if found.fitting else ())


async def placement_reply(call: Call, dry_run: DryRun) -> Reply:
    """Returns the answer: the placement, with the present capacity of each host that was evaluated."""
    found = explain(dry_run.placement)
    evaluated = [*dry_run.placement.ranked, *dry_run.placement.rejected]
    capacities = await call.services.hosts.capacities([one.host_id for one in evaluated])

    def with_capacity(part: str) -> list[Mapping[str, Any]]:
        return [{**one, "capacity": HOST_CAPACITY_JSON.encode(capacities.get(one["host_id"]))} for one in found[part]]

    parts = {part: with_capacity(part) for part in ("fitting", "rejected")}
    machines = [{"host": one.host_name, "host_id": one.host_id} for one in dry_run.fitting]
    return json_reply(PLACED_JSON.encode({**found, **parts, "placements": machines, "refused": dry_run.refusal}))


PLACED = Result(doc="The placement, as compose stores it with its operation.", type=PLACED_JSON)


def _request(values: Values) -> ComposeRequest:
    return evolve(
        compose_request(values),
        hostname=values["hostname"],
        power_on=values["power_on"],
        zone=values["machine_zone"],
        pool=values["machine_pool"],
    )


async def _compose(call: Call) -> Reply:
    operation = await call.services.composer.start_compose(
        call.caller, _request(call.values), _constraints(call.values), idempotency_key=call.idempotency_key
    )
    return await when_done(call, operation, _composed, announce=call.services.machines.announce)


async def _composed(operation: Operation) -> Reply:
    return json_reply(COMPOSED_JSON.encode(operation.system_id or ""))


COMPOSE_ANYWHERE = Endpoint(
    method="POST",
    op="compose",
    permission=Permission.OPERATOR,
    expensive=True,
    fields=(*FIELDS, *(one for one in COMPOSE if one.name in _OF_MACHINE)),
    title="Compose a machine on a host that Innkeeper chooses",
    doc=(
        "Composes on the best host that matches the filters, as op=place shows it, and on another one if that host "
        "fails. The request can be repeated with the header Idempotency-Key; with Prefer: respond-async the response "
        "is the operation."
    ),
    result=Result(doc="The id of the machine.", type=COMPOSED_JSON),
    opens_operation=True,
    other_answers=(STARTED,),
    check=_problems,
    check_names=_name_problems,
    run=_compose,
)


# Not audited: it changes nothing, and the web page sends one for each change of its form. Only hosts of pools that the
# caller operates are candidates.
PLACE = Endpoint(
    method="POST",
    op="place",
    permission=Permission.OPERATOR,
    expensive=True,
    fields=(*FIELDS, *(one for one in COMPOSE if one.name in _OF_MACHINE), *_DRY_RUN_ONLY),
    title="Show where a machine would be placed",
    doc=(
        "A dry run of compose over all hosts that match the filters. Shows the host that would be chosen, the storage "
        "pool of each disk and, in numbers, what every other host lacks. Claims and changes nothing and contacts no "
        "host. If no host fits, chosen is null."
    ),
    result=PLACED,
    only_reads=True,
    audited=False,
    check=_problems,
    check_names=_place_problems,
    run=_place,
)
