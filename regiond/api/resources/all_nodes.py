"""`nodes/` and `nodes/{system_id}/`: machines and racks in one list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from common.errors import NotFound
from regiond.api import crud
from regiond.api.endpoint import Call, Resource, Result
from regiond.api.field_types import TextList
from regiond.api.fields import Field
from regiond.api.resources.controllers import find_rack_controller, matching, rack_controllers
from regiond.api.resources.lookups import find_machine_or_host, group_names, hosts_as_machines
from regiond.api.serializer import one_of
from regiond.api.serializers.controllers import CONTROLLER_JSON
from regiond.api.serializers.machines import MACHINE_JSON
from regiond.api.services import Services
from regiond.long_list import LongList
from regiond.machines.model import MachineFilter
from regiond.validation_messages import no_object

_MANY = TextList()
_FILTERS = (
    Field(name="id", type=_MANY, default=(), doc="System id; may be repeated."),
    Field(name="hostname", type=_MANY, default=(), doc="Hostname; may be repeated."),
    Field(name="mac_address", type=_MANY, default=(), doc="MAC address of one of its NICs; may be repeated."),
    Field(name="zone", type=_MANY, default=(), doc="Id or name of its zone; may be repeated."),
    Field(name="agent_name", type=_MANY, default=(), doc="Name of the agent that allocated it; may be repeated."),
)
_OF_MAAS = frozenset({"domain"})
_NODE = one_of(MACHINE_JSON, CONTROLLER_JSON)


async def _list(call: Call) -> LongList[Any]:
    """Machines, which may be many, then VM hosts that are named by id, and racks, which are few."""
    zones = await group_names(call.services.groups.zones, call.values["zone"])
    values = {**call.values, "zone": zones}
    wanted = MachineFilter(
        system_ids=values["id"],
        hostnames=values["hostname"],
        mac_addresses=values["mac_address"],
        zones=zones,
        agent_names=values["agent_name"],
    )
    machines = await call.services.machines.long_list(wanted, caller=call.caller)
    only_ids = not any(values[one.name] for one in _FILTERS if one.name != "id")
    hosts = await hosts_as_machines(call.services, values["id"]) if only_ids else ()
    racks = [CONTROLLER_JSON.encode(one) for one in matching(await rack_controllers(call.services), values)]

    async def read(keys: Sequence[Any]) -> Sequence[Any]:
        of_machines = [key for key in keys if not isinstance(key, dict)]
        found = await machines.read(of_machines) if of_machines else ()
        return [*(MACHINE_JSON.encode(one) for one in found), *(key for key in keys if isinstance(key, dict))]

    return LongList(
        keys=[*machines.keys, *(MACHINE_JSON.encode(host) for host in hosts), *racks], read=read, batch=machines.batch
    )


async def _find(services: Services, path: Mapping[str, str]) -> Any:
    """The encoded machine or rack."""
    try:
        return MACHINE_JSON.encode(await find_machine_or_host(services, path))
    except NotFound as no_machine:
        try:
            return CONTROLLER_JSON.encode(await find_rack_controller(services, path))
        except NotFound:
            raise NotFound(no_object("node", path["system_id"])) from no_machine


NODES = Resource(
    handler="NodesHandler",
    path="nodes/",
    doc="Machines and racks: `machines/` and `rackcontrollers/` in one list.",
    endpoints=(
        crud.list_of(
            _NODE,
            _list,
            title="List nodes",
            doc=(
                "Machines, then racks, that match every filter; repeated values of a filter are alternatives. VM hosts "
                "are listed by id only."
            ),
            fields=_FILTERS,
            accepted=_OF_MAAS,
            expensive=True,
            result="The nodes.",
        ),
    ),
)
NODE = Resource(
    handler="NodeHandler",
    path="nodes/{system_id}/",
    doc="One machine or rack, by its system id or name.",
    endpoints=(crud.read_target(Result(doc="The node.", type=_NODE), _find, title="Read a node"),),
)
RESOURCES = (NODES, NODE)
