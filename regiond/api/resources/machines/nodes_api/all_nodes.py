"""`nodes/` and `nodes/{system_id}/`: machines, devices and racks in one list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from common.errors import NotFound
from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Call, Resource, Result
from regiond.api.declaration.field_types import TextList
from regiond.api.declaration.fields import Field, Values
from regiond.api.declaration.serializer import encoded, one_of
from regiond.api.resources.machines.hardware.interface_targets import device_of, find_node
from regiond.api.resources.machines.machine_actions import ANY_KEY
from regiond.api.resources.machines.machine_filters import other_domains
from regiond.api.resources.machines.node_actions import OF_NODES, find_node_or_host, of_one
from regiond.api.resources.machines.nodes_api.devices import matching_devices
from regiond.api.resources.region.controllers import find_rack_controller, matching, rack_controllers
from regiond.api.resources.shared.filter_values import checked_filters
from regiond.api.resources.shared.lookups import find_machine_or_host, hosts_as_machines
from regiond.api.serializers.controllers import CONTROLLER_JSON
from regiond.api.serializers.devices import DEVICE_JSON
from regiond.api.serializers.machines import MACHINE_JSON
from regiond.api.services import Services
from regiond.machines.values.criteria import MachineCriteria, Traits
from regiond.machines.values.devices import DeviceView
from regiond.machines.values.model import MachineView
from regiond.machines.values.search import MachineFilter
from regiond.requests.caller import Permission
from regiond.requests.long_list import LongList
from regiond.requests.validation_messages import no_object

_MANY = TextList()
_FILTERS = (
    Field("id", _MANY, "System id; may be repeated.", default=()),
    Field("hostname", _MANY, "Hostname; may be repeated.", default=()),
    Field("mac_address", _MANY, "MAC address of one of its NICs; may be repeated.", default=()),
    Field("zone", _MANY, "Id or name of its zone; may be repeated.", default=()),
    Field("agent_name", _MANY, "Name of the agent that allocated it; may be repeated.", default=()),
    Field("domain", _MANY, "Name of its domain; may be repeated.", default=()),
    Field("pool", _MANY, "Id or name of its resource pool; may be repeated. Not of racks.", default=()),
    Field("tags", _MANY, "Tag that it must have; may be repeated. Only machines have tags.", default=()),
)
_OF_NO_RACK = ("pool", "tags")
_CHANGED_NODE = one_of(MACHINE_JSON, DEVICE_JSON)
_NODE = one_of(MACHINE_JSON, DEVICE_JSON, CONTROLLER_JSON)


async def _list(call: Call) -> LongList[Any]:
    """Returns machines and devices, which may be many, then VM hosts that are named by id, and racks: these are few."""
    values = await checked_filters(call.services, call.values)
    wanted = MachineFilter(
        system_ids=values["id"],
        hostnames=values["hostname"],
        mac_addresses=values["mac_address"],
        zones=values["zone"],
        pools=values["pool"],
        tags=values["tags"],
        agent_names=values["agent_name"],
        criteria=MachineCriteria(wanted=Traits(unknown=other_domains(values["domain"]))),
    )
    machines = await call.services.machines.long_list(wanted, caller=call.caller)
    only_ids = not any(values[one.name] for one in _FILTERS if one.name != "id")
    hosts = await hosts_as_machines(call.services, values["id"]) if only_ids else ()
    devices = await matching_devices(call.services, values)
    racks = [] if any(values[name] for name in _OF_NO_RACK) else await _racks(call.services, values)

    async def read(keys: Sequence[Any]) -> Sequence[Any]:
        of_machines, of_devices = ([key for key in keys if isinstance(key, kind)] for kind in (int, str))
        return [
            *(MACHINE_JSON.encode(one) for one in (await machines.read(of_machines) if of_machines else ())),
            *(DEVICE_JSON.encode(one) for one in (await devices.read(of_devices) if of_devices else ())),
            *(key for key in keys if isinstance(key, dict)),
        ]

    few = [*(MACHINE_JSON.encode(host) for host in hosts), *racks]
    return LongList(keys=[*machines.keys, *devices.keys, *few], read=read, batch=machines.batch)


async def _racks(services: Services, values: Values) -> list[Any]:
    return [CONTROLLER_JSON.encode(one) for one in matching(await rack_controllers(services), values)]


async def _find(services: Services, path: Mapping[str, str]) -> Any:
    """Returns the encoded machine, device or rack."""
    with suppress(NotFound):
        return MACHINE_JSON.encode(await find_machine_or_host(services, path))
    with suppress(NotFound):
        return DEVICE_JSON.encode(await device_of(services, path["system_id"]))
    with suppress(NotFound):
        return CONTROLLER_JSON.encode(await find_rack_controller(services, path))
    raise NotFound(no_object("node", path["system_id"]))


async def _set_owner_data(call: Call) -> Any:
    node: MachineView | DeviceView = call.target
    if isinstance(node, DeviceView):
        device = await call.services.devices.set_owner_data(call.caller, node.system_id, call.other_values)
        return DEVICE_JSON.encode(device)
    machine = await call.services.ownership.set_owner_data(call.caller, node.system_id, call.other_values)
    return MACHINE_JSON.encode(machine)


NODES = Resource(
    handler="NodesHandler",
    path="nodes/",
    doc="Machines, devices and racks: `machines/`, `devices/` and `rackcontrollers/` in one list.",
    endpoints=(
        crud.list_of(
            _NODE,
            _list,
            title="List nodes",
            doc=(
                "Machines, then devices, then racks, that match every filter; repeated values of a filter are "
                "alternatives. VM hosts are listed by id only."
            ),
            fields=_FILTERS,
            expensive=True,
            result="The nodes.",
        ),
        *OF_NODES,
    ),
)
NODE = Resource(
    handler="NodeHandler",
    path="nodes/{system_id}/",
    doc="One machine, device or rack, by its system id or name.",
    endpoints=(
        crud.read_target(Result(doc="The node.", type=_NODE), _find, title="Read a node"),
        *of_one(find_node_or_host, "node"),
        crud.action(
            "set_owner_data",
            Result(doc="The machine or device.", type=encoded(_CHANGED_NODE)),
            _set_owner_data,
            title="Set owner data of a machine or device",
            doc="Stores any keys with text values. Other keys are not changed.",
            other_keys=ANY_KEY,
            find=find_node,
            permission=Permission.OWNER,
        ),
    ),
)
RESOURCES = (NODES, NODE)
