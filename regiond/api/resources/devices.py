"""`devices/`: containers on machines, for which Juju gets addresses."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve

from regiond.api import crud
from regiond.api.endpoint import Call, Permission, Resource, Result
from regiond.api.field_types import Text, TextList
from regiond.api.fields import Field, Problems
from regiond.api.resources.compose_fields import domain_problems
from regiond.api.resources.host_fields import HOSTNAME
from regiond.api.resources.interface_targets import device_of
from regiond.api.resources.lookups import group_names, machines_in_field
from regiond.api.serializers.devices import DEVICE_JSON
from regiond.api.services import Services
from regiond.deletion_plan import DeletionPlan
from regiond.machines.model import DeviceFilter, DeviceView, NewDevice
from regiond.networks.model import DOMAIN_NAME

_MANY = TextList()
_RESULT = Result(doc="The device.", type=DEVICE_JSON)
_DOMAIN = Field(name="domain", type=Text(max_length=255), doc=f"Id or name of the domain, which is {DOMAIN_NAME}.")
_HOSTNAME = Field(name="hostname", type=HOSTNAME, doc="A unique hostname; by default one is chosen.")
_DESCRIPTION = Field(name="description", type=Text(max_length=4096), doc="Description.")
_FILTERS = tuple(
    Field(name=name, type=_MANY, default=(), doc=doc)
    for name, doc in (
        ("id", "System id; may be repeated."),
        ("hostname", "Hostname; may be repeated."),
        ("mac_address", "MAC address of one of its NICs; may be repeated."),
        ("parent", "System id of the machine on which it is; may be repeated."),
        ("domain", "Name of its domain; may be repeated."),
        ("zone", "Id or name of its zone; may be repeated."),
    )
)


async def _find(services: Services, path: Mapping[str, str]) -> DeviceView:
    return await device_of(services, path["system_id"])


async def _list(call: Call) -> list[DeviceView]:
    values = call.values
    wanted = DeviceFilter(
        system_ids=values["id"],
        hostnames=tuple(one.removesuffix(f".{DOMAIN_NAME}") for one in values["hostname"]),
        mac_addresses=values["mac_address"],
        parents=values["parent"],
    )
    if values["domain"] and not {DOMAIN_NAME, "0"} & set(values["domain"]):
        return []
    zones = await group_names(call.services.groups.zones, values["zone"])
    found = await call.services.devices.list(wanted, caller=call.caller)
    return [one for one in found if not zones or one.zone.name in zones]


def _problems(call: Call) -> Problems:
    return domain_problems(call.values)


async def _create(call: Call) -> DeviceView:
    (parent,) = await machines_in_field(call.services, [call.values["parent"]], field="parent")
    new = NewDevice(
        parent=parent,
        mac_addresses=call.values["mac_addresses"],
        hostname=call.values["hostname"] or "",
        description=call.values["description"] or "",
    )
    return await call.services.devices.create(call.caller, new)


async def _update(call: Call) -> DeviceView:
    return await call.services.devices.update(
        call.caller,
        call.target.system_id,
        hostname=call.values["hostname"] or None,
        description=call.values["description"],
    )


async def _delete(call: Call) -> DeletionPlan:
    return await call.services.devices.delete(
        call.caller, call.target.system_id, dry_run=call.values["dry_run"] is True
    )


DEVICES = Resource(
    handler="DevicesHandler",
    path="devices/",
    doc="Devices: containers on machines that have addresses of their own.",
    endpoints=(
        crud.list_of(
            DEVICE_JSON,
            _list,
            title="List devices",
            doc="Lists devices that match every filter; repeated values of a filter are alternatives.",
            fields=_FILTERS,
            accepted=frozenset({"agent_name", "pool", "tags"}),
            result="The devices.",
        ),
        crud.create(
            _RESULT,
            _create,
            title="Register a device on a machine",
            doc=(
                "For the owner of the machine, which is allocated or deployed. Its release deletes the device. The "
                "NICs are named eth0, eth1 … and have no link yet."
            ),
            permission=Permission.OPERATOR,
            fields=(
                Field(
                    name="mac_addresses",
                    type=TextList(commas=True, max_length=64, max_items=64),
                    required=True,
                    doc="MAC addresses of its NICs; may be repeated.",
                ),
                Field(
                    name="parent",
                    type=Text(max_length=300),
                    required=True,
                    doc="System id or hostname of the machine on which it is.",
                ),
                _HOSTNAME,
                _DOMAIN,
                _DESCRIPTION,
            ),
            check=_problems,
        ),
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
                fields=(_HOSTNAME, _DOMAIN, _DESCRIPTION),
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
    ),
)
RESOURCES = (DEVICES, DEVICE)
