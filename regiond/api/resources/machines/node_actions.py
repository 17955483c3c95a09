"""Endpoints common to `machines/`, `devices/` and `nodes/`: zones, registered MAC addresses, details."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress

from attrs import frozen

from common.errors import InvalidRequest, NotFound
from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Call, Endpoint, Find, Result
from regiond.api.declaration.field_types import Text, TextList
from regiond.api.declaration.fields import Field
from regiond.api.declaration.serializer import BOOL, STR, mapping
from regiond.api.declaration.served import serve
from regiond.api.replies import Reply, empty_reply
from regiond.api.resources.machines.hardware.interface_targets import device_of, find_node
from regiond.api.resources.shared.lookups import hosts_as_machines, machine_of, machines_in_field
from regiond.api.services import Services
from regiond.machines.values.devices import DeviceView
from regiond.machines.values.model import MachineView
from regiond.requests.caller import Permission
from regiond.requests.validation_messages import no_object

_MAX_NODES = 1000
_BSON = "application/bson"
# {"lshw": null, "lldp": null}: Innkeeper runs no program in guests that could report them.
_NO_DETAILS = b"\x11\x00\x00\x00\x0alshw\x00\x0alldp\x00\x00"


@frozen(kw_only=True)
class _Nodes:
    """System ids of machines and of devices, with or without a machine."""

    machines: Sequence[str] = ()
    devices: Sequence[str] = ()


async def find_node_or_host(services: Services, path: Mapping[str, str]) -> MachineView | DeviceView:
    """Returns the machine or device of a path, or a VM host as a machine. Raises NotFound."""
    try:
        return await find_node(services, path)
    except NotFound:
        for host in await hosts_as_machines(services, [path["system_id"]]):
            return host
        raise


async def _machines(services: Services, texts: Sequence[str]) -> _Nodes:
    return _Nodes(machines=await machines_in_field(services, texts, field="nodes"))


async def _devices(services: Services, texts: Sequence[str]) -> _Nodes:
    return _Nodes(devices=[await _device(services, text, "device") for text in texts])


async def _either(services: Services, texts: Sequence[str]) -> _Nodes:
    machines, devices = [], []
    for text in texts:
        with suppress(NotFound):
            machines.append((await machine_of(services, text)).system_id)
            continue
        devices.append(await _device(services, text, "machine or device"))
    return _Nodes(machines=machines, devices=devices)


async def _device(services: Services, text: str, kind: str) -> str:
    try:
        return (await device_of(services, text)).system_id
    except NotFound:
        raise InvalidRequest.of({"nodes": [no_object(kind, text)]}) from None


def _set_zone(find: Callable[[Services, Sequence[str]], Awaitable[_Nodes]], what: str, example: str) -> Endpoint:
    async def run(call: Call) -> Reply:
        zone, found = call.values["zone"], await find(call.services, call.values["nodes"])
        await call.services.ownership.set_zone(call.caller, found.machines, zone, found.devices)
        return empty_reply()

    return Endpoint(
        method="POST",
        op="set_zone",
        permission=Permission.ADMIN,
        title=f"Move {what} to a zone",
        fields=(
            Field(
                "zone", Text(max_length=256), "Id or name of the zone.", required=True, recorded=True, example="default"
            ),
            Field(
                "nodes",
                TextList(max_items=_MAX_NODES, max_length=300),
                "System id or hostname; may be repeated.",
                required=True,
                recorded=True,
                example=(example,),
            ),
        ),
        result=crud.NOTHING,
        success=204,
        run=run,
    )


async def _details(_: Call) -> Reply:
    return Reply(status=200, body=_NO_DETAILS, content_type=_BSON)


async def _power_parameters(call: Call) -> Mapping[str, str]:
    node: MachineView | DeviceView = call.target
    if isinstance(node, DeviceView):
        return {}
    found = await call.services.machines.power_parameters(call.caller, (node.system_id,))
    return found.get(node.system_id, {})


IS_REGISTERED = crud.read(
    Result(doc="Whether a machine or device that you see has it.", type=BOOL),
    serve(lambda s: s.devices.is_registered, "mac_address"),
    op="is_registered",
    title="Check whether a MAC address is registered",
    fields=(Field("mac_address", Text(max_length=64), "The MAC address.", required=True, example="52:54:00:00:00:20"),),
)
OF_MACHINES = (_set_zone(_machines, "machines", "wdpx3n"), IS_REGISTERED)
OF_DEVICES = (_set_zone(_devices, "devices", "dev123"), IS_REGISTERED)
OF_NODES = (_set_zone(_either, "nodes", "wdpx3n"), IS_REGISTERED)


def of_one(find: Find, what: str) -> tuple[Endpoint, Endpoint]:
    """Returns the endpoints `details` and `power_parameters` of the objects that `find` finds; `what` is their noun."""
    return (
        Endpoint(
            method="GET",
            op="details",
            permission=Permission.USER,
            title=f"Read hardware details of a {what}",
            doc="In MAAS the outputs of lshw and lldpd. Innkeeper runs neither, so both are null.",
            result=Result(doc="A BSON document.", is_data=True, media_type=_BSON),
            find=find,
            run=_details,
        ),
        crud.read(
            Result(doc="Address of the VM host, name of the VM there and project; without secrets.", type=mapping(STR)),
            _power_parameters,
            op="power_parameters",
            title=f"Read how a {what} is reached on its VM host",
            doc="Empty for what is on no VM host: devices, and VM hosts that are read as machines.",
            find=find,
            permission=Permission.ADMIN,
        ),
    )
