"""`devices/`: containers on machines, and other holders of names and addresses."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve

from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Call, Resource, Result
from regiond.api.declaration.field_types import Text, TextList
from regiond.api.declaration.fields import Field, Problems, Values
from regiond.api.declaration.served import serve, target, text
from regiond.api.resources.machines import node_actions
from regiond.api.resources.machines.hardware.interface_targets import device_of
from regiond.api.resources.machines.machine_actions import ANY_KEY
from regiond.api.resources.machines.machine_filters import other_domains
from regiond.api.resources.shared.compose_fields import domain_problems
from regiond.api.resources.shared.filter_values import checked_filters
from regiond.api.resources.shared.host_fields import GROUP, HOSTNAME
from regiond.api.resources.shared.lookups import machines_in_field
from regiond.api.serializers.devices import DEVICE_JSON
from regiond.api.services import Services
from regiond.machines.values.devices import MAX_DEVICE_NICS, DeviceFilter, DeviceView, NewDevice
from regiond.networks.model import DOMAIN_NAME
from regiond.requests.caller import Permission
from regiond.requests.long_list import LongList

_MANY = TextList()
_RESULT = Result(doc="The device.", type=DEVICE_JSON)
_DOMAIN = Field("domain", Text(max_length=255), f"Id or name of the domain, which is {DOMAIN_NAME}.", recorded=True)
_HOSTNAME = Field("hostname", HOSTNAME, "A unique hostname; by default one is chosen.", recorded=True)
_ZONE = Field("zone", GROUP, "Id or name of its zone; that of a device on a machine is the machine's.", recorded=True)
_DESCRIPTION = Field("description", Text(max_length=4096), "Description.", example="proxy")
_OF_NO_DEVICE = ("agent_name", "tags")
_ID = target("system_id")
_FILTERS = tuple(
    Field(name, _MANY, doc, default=())
    for name, doc in (
        ("id", "System id; may be repeated."),
        ("hostname", "Hostname; may be repeated."),
        ("mac_address", "MAC address of one of its NICs; may be repeated."),
        ("parent", "System id of the machine on which it is; may be repeated."),
        ("domain", "Name of its domain; may be repeated."),
        ("zone", "Id or name of its zone, that of the machine; may be repeated."),
        ("pool", "Id or name of its resource pool, that of the machine; may be repeated."),
        ("owner", "Name of the user who owns the machine; may be repeated."),
        *((name, "Devices have none: no device matches.") for name in _OF_NO_DEVICE),
    )
)


async def _find(services: Services, path: Mapping[str, str]) -> DeviceView:
    return await device_of(services, path["system_id"])


async def _list(call: Call) -> LongList[DeviceView]:
    return await matching_devices(call.services, await checked_filters(call.services, call.values))


async def matching_devices(services: Services, values: Values) -> LongList[DeviceView]:
    """Returns the devices that match these checked filters. `values` need not have every filter."""
    given = {one.name: tuple(values[one.name]) for one in _FILTERS if values.get(one.name)}
    if other_domains(given.get("domain", ())) or any(name in given for name in _OF_NO_DEVICE):
        return LongList.of(())
    wanted = DeviceFilter(
        system_ids=given.get("id", ()),
        hostnames=tuple(one.lower().removesuffix(f".{DOMAIN_NAME}") for one in given.get("hostname", ())),
        mac_addresses=given.get("mac_address", ()),
        parents=given.get("parent", ()),
        zones=given.get("zone", ()),
        pools=given.get("pool", ()),
        owners=given.get("owner", ()),
    )
    return await services.devices.long_list(wanted, caller=services.caller)


def _problems(call: Call) -> Problems:
    return domain_problems(call.values)


async def _create(call: Call) -> DeviceView:
    wanted = [call.values["parent"]] if call.values["parent"] else []
    parents = await machines_in_field(call.services, wanted, field="parent")
    new = NewDevice(
        parent=parents[0] if parents else None,
        zone=call.values["zone"] or "",
        mac_addresses=call.values["mac_addresses"],
        hostname=call.values["hostname"] or "",
        description=call.values["description"] or "",
    )
    return await call.services.devices.create(call.caller, new)


_update = serve(lambda s: s.devices.update, "description", system_id=_ID, hostname=text("hostname"), zone=text("zone"))
_delete = serve(lambda s: s.devices.delete, system_id=_ID)
_set_owner_data = serve(lambda s: s.devices.set_owner_data, system_id=_ID, data=lambda call: call.other_values)

DEVICES = Resource(
    handler="DevicesHandler",
    path="devices/",
    doc="Devices: containers on machines, and other things, that have a name and addresses of their own.",
    endpoints=(
        crud.list_of(
            DEVICE_JSON,
            _list,
            title="List devices",
            doc="Lists devices that match every filter; repeated values of a filter are alternatives.",
            fields=_FILTERS,
            result="The devices.",
        ),
        crud.create(
            _RESULT,
            _create,
            title="Register a device",
            doc=(
                "With a parent, for the owner of that machine, which is allocated or deployed: its release deletes the "
                "device. Without, the device is yours and in no resource pool. The NICs are named eth0, eth1 … and "
                "have no link yet."
            ),
            permission=Permission.OPERATOR,
            fields=(
                Field(
                    "mac_addresses",
                    TextList(commas=True, max_length=64, max_items=MAX_DEVICE_NICS),
                    "MAC addresses of its NICs; may be repeated.",
                    recorded=True,
                    required=True,
                    example=("52:54:00:00:00:20",),
                ),
                Field(
                    "parent",
                    Text(max_length=300),
                    "System id or hostname of the machine on which it is.",
                    recorded=True,
                    example="wdpx3n",
                ),
                _HOSTNAME,
                _DOMAIN,
                _DESCRIPTION,
                _ZONE,
            ),
            check=_problems,
        ),
        *node_actions.OF_DEVICES,
    ),
)
DEVICE = Resource(
    handler="DeviceHandler",
    path="devices/{system_id}/",
    doc="One device, by its system id or hostname.",
    endpoints=(
        crud.read_target(_RESULT, _find, title="Read a device"),
        evolve(
            crud.update(
                _RESULT,
                _update,
                title="Change a device",
                fields=(_HOSTNAME, _DOMAIN, _DESCRIPTION, _ZONE),
                find=_find,
                check=_problems,
            ),
            permission=Permission.OWNER,
        ),
        crud.delete(
            _delete,
            title="Delete a device",
            doc="Releases its addresses.",
            permission=Permission.OWNER,
            find=_find,
        ),
        *node_actions.of_one(_find, "device"),
        crud.action(
            "set_owner_data",
            _RESULT,
            _set_owner_data,
            title="Set owner data of a device",
            doc="Stores any keys with text values. Other keys are not changed.",
            other_keys=ANY_KEY,
            permission=Permission.OWNER,
            find=_find,
        ),
    ),
)
RESOURCES = (DEVICES, DEVICE)
