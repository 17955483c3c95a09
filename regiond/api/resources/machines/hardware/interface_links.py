"""Changes of interfaces: links, default gateways, names and tags."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from attrs import evolve

from common.errors import InvalidRequest
from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Call, Endpoint, Result
from regiond.api.declaration.field_types import Boolean, Choice, Integer, Text, TextList
from regiond.api.declaration.fields import Field, Problems
from regiond.api.declaration.operation_wait import STARTED, when_done
from regiond.api.declaration.serializer import encoded, one_of
from regiond.api.declaration.served import filled, text
from regiond.api.replies import Reply, json_reply
from regiond.api.resources.machines.hardware.hardware_changes import begun
from regiond.api.resources.machines.hardware.interface_targets import (
    FoundHostInterface,
    NicOfDevice,
    NicOfMachine,
    find_interface,
    find_nic,
)
from regiond.api.serializers.devices import encode_device_interface
from regiond.api.serializers.machines import encode_interface
from regiond.api.serializers.networks import DEFAULT_MTU, HOST_INTERFACE_JSON, INTERFACE_JSON
from regiond.machines.values.devices import DeviceNicChange, DeviceNicView, DeviceView
from regiond.machines.values.model import MachineView
from regiond.machines.values.nics import LinkMode, LinkRequest, NicToChange, NicView
from regiond.operations.model import Operation
from regiond.requests.caller import Permission

ANY_INTERFACE = one_of(INTERFACE_JSON, HOST_INTERFACE_JSON)
INTERFACE_RESULT = Result(doc="The interface.", type=encoded(INTERFACE_JSON))
_LINK_ID = Integer(minimum=1)
_TAG = Field("tag", Text(max_length=256), "The tag.", recorded=True, required=True, example="uplink")
_link_request = filled(LinkRequest, mode=lambda call: LinkMode(call.values["mode"]))
nic_change = filled(DeviceNicChange, name=text("name"), mac_address=text("mac_address"))


_NO_SUBNET = {
    LinkMode.DHCP: (
        "A link has a subnet: name one on the VLAN of the NIC. On a network without a known subnet, "
        "op=change_interface of the machine gives the NIC DHCP."
    ),
    LinkMode.LINK_UP: "A link has a subnet: name one, or end the link of the NIC with op=disconnect.",
}


def _link_problems(call: Call) -> Problems:
    """Returns the problem of a link that the interface would not show: the modes with an address name it themselves."""
    if "mode" in call.invalid or call.values["subnet"] or call.values["mode"] is None:
        return {}
    reason = _NO_SUBNET.get(LinkMode(call.values["mode"]))
    return {"subnet": [reason]} if reason else {}


async def _link(call: Call) -> Mapping[str, Any]:
    request = _link_request(call)
    if isinstance(call.target, NicOfDevice):
        device = call.target.device
        linked = await call.services.devices.link(call.caller, device.system_id, call.target.nic.id, request)
        return of_device(device, linked)
    machine, nic = _of(call)
    return _encoded(await call.services.machine_nics.link(call.caller, machine.system_id, nic.id, request), nic)


async def _end_link(call: Call, link_id: int | None) -> Mapping[str, Any]:
    if isinstance(call.target, NicOfDevice):
        device = call.target.device
        unlinked = await call.services.devices.unlink(call.caller, device.system_id, call.target.nic.id, link_id)
        return of_device(device, unlinked)
    machine, nic = _of(call)
    changed = await call.services.machine_nics.unlink(call.caller, machine.system_id, nic.id, link_id)
    return _encoded(changed, nic)


async def _set_default_gateway(call: Call) -> Mapping[str, Any]:
    if isinstance(call.target, NicOfDevice):
        raise InvalidRequest("not part of Innkeeper: the routes of devices. Configure them on the machine.")
    machine, nic = _of(call)
    link_id = call.values["link_id"]
    changed = await call.services.machine_nics.set_default_gateway(call.caller, machine.system_id, nic.id, link_id)
    return _encoded(changed, nic)


async def _clear_default_gateway(call: Call) -> Mapping[str, Any]:
    machine, nic = _of(call)
    return _encoded(await call.services.machine_nics.clear_default_gateway(call.caller, machine.system_id, nic.id), nic)


async def _set_tag(call: Call, *, present: bool) -> Mapping[str, Any]:
    tag = call.values["tag"]
    if isinstance(call.target, NicOfDevice):
        device, own = call.target.device, call.target.nic
        tags = (*(one for one in own.tags if one != tag), *((tag,) if present else ()))
        change = DeviceNicChange(tags=tags)
        return of_device(device, await call.services.devices.update_nic(call.caller, device.system_id, own.id, change))
    machine, nic = _of(call)
    changed = await call.services.machine_nics.set_tag(call.caller, machine.system_id, nic.id, tag, present=present)
    return _encoded(changed, nic)


async def _update(call: Call) -> Reply:
    target: NicOfMachine | NicOfDevice | FoundHostInterface = call.target
    change = _connection(call, target.nic) if isinstance(target, NicOfMachine) else None
    if change is None or not isinstance(target, NicOfMachine):
        return json_reply(await _updated(call))
    await _name_and_tag(call, target)
    operation = await begun(call, target.machine.system_id, change)

    async def changed(_: Operation) -> Reply:
        now = await call.services.machines.read(target.machine.system_id, caller=call.caller)
        return json_reply(_encoded(now, target.nic))

    return await when_done(call, operation, changed)


def _connection(call: Call, nic: NicView) -> NicToChange | None:
    """Returns the change of MAC address or VLAN; None if the request has neither, or what the client has read.

    Raises InvalidRequest for what a NIC of a machine cannot have.
    """
    mac_address, vlan, mtu = (call.values[name] for name in ("mac_address", "vlan", "mtu"))
    if mtu and mtu != (DEFAULT_MTU if nic.vlan is None else nic.vlan.mtu):
        raise InvalidRequest.of({"mtu": ["A NIC of a virtual machine has the MTU of its VLAN: set that of the VLAN."]})
    moves = bool(vlan) and (nic.vlan is None or vlan not in (str(nic.vlan.id), nic.vlan.name))
    other_mac = mac_address if mac_address and mac_address.lower() != nic.mac_address.lower() else ""
    if not moves and not other_mac:
        return None
    return NicToChange(nic_id=nic.id, vlan_id=vlan_id_in(vlan) if moves else None, mac_address=other_mac)


def vlan_id_in(text: str | None) -> int | None:
    """Raises InvalidRequest for what is not the id of a VLAN."""
    if not text:
        return None
    if not text.isdecimal():
        raise InvalidRequest.of(
            {"vlan": [f"{text!r} is not the id of a VLAN: innkeeper vlans read FABRIC shows them."]}
        )
    return int(text)


async def _name_and_tag(call: Call, target: NicOfMachine) -> MachineView:
    name = call.values["name"] or None
    return await call.services.machine_nics.update(
        call.caller, target.machine.system_id, target.nic.id, name=name, tags=call.values["tags"]
    )


async def _updated(call: Call) -> Mapping[str, Any]:
    target: NicOfMachine | NicOfDevice | FoundHostInterface = call.target
    if isinstance(target, NicOfDevice):
        device, change = target.device, nic_change(call)
        updated_nic = await call.services.devices.update_nic(call.caller, device.system_id, target.nic.id, change)
        return of_device(device, updated_nic)
    if isinstance(target, FoundHostInterface):
        changed = await call.services.networks.update_interface(
            call.caller, target.found.interface.id, vlan=call.values["vlan"], tags=call.values["tags"]
        )
        found: Mapping[str, Any] = HOST_INTERFACE_JSON.encode(evolve(target.found, interface=changed))
        return found
    return _encoded(await _name_and_tag(call, target), target.nic)


def of_device(device: DeviceView, nic: DeviceNicView) -> Mapping[str, Any]:
    found: Mapping[str, Any] = encode_device_interface(device.system_id, nic)
    return found


def _of(call: Call) -> tuple[MachineView, NicView]:
    target: NicOfMachine = call.target
    return target.machine, target.nic


def _encoded(machine: MachineView, nic: NicView) -> Mapping[str, Any]:
    found: Mapping[str, Any] = encode_interface(machine, next(one for one in machine.nics if one.id == nic.id))
    return found


def _action(
    op: str,
    run: Callable[[Call], Awaitable[Mapping[str, Any]]],
    *,
    title: str,
    doc: str = "",
    fields: tuple[Field, ...] = (),
    accepted: frozenset[str] = frozenset(),
    check: Callable[[Call], Problems] = lambda _: {},
) -> Endpoint:
    return crud.action(
        op, INTERFACE_RESULT, run, title=title, doc=doc, fields=fields, accepted=accepted, check=check,
        permission=Permission.OWNER, find=find_nic,
    )  # fmt: skip


MTU = Field("mtu", Integer(minimum=68, maximum=65535), "Of a device's interface: its MTU in bytes.")
CLEAR_DEFAULT_GATEWAY = _action(
    "clear_default_gateway", _clear_default_gateway, title="Take the default routes of a machine from a NIC"
)
ENDPOINTS = (
    Endpoint(
        method="PUT",
        permission=Permission.OWNER,
        title="Update an interface",
        doc=(
            "Names and tags a NIC of a machine, and gives it another VLAN or MAC address, as change_interface does. Of "
            "an interface of a VM host, corrects what discovery has found; that needs an administrator."
        ),
        result=Result(doc="The interface.", type=ANY_INTERFACE),
        fields=(
            Field(
                "name",
                Text(max_length=15),
                "A new name of a machine's NIC, also in its guest.",
                recorded=True,
                example="eth1",
            ),
            Field(
                "vlan",
                Text(max_length=64),
                (
                    "Of a machine's NIC: id of another VLAN. Of a host's interface: id or name of its VLAN; discovery "
                    "does not change it then. Empty: use the discovered VLAN again."
                ),
                recorded=True,
            ),
            Field(
                "tags",
                TextList(commas=True, max_items=256),
                "All its tags, separated by commas or repeated. Constraints select host interfaces by them.",
                recorded=True,
            ),
            Field(
                "mac_address",
                Text(max_length=64),
                "Of an interface of a machine or device: its MAC address.",
                recorded=True,
            ),
            MTU,
        ),
        opens_operation=True,
        other_answers=(STARTED,),
        find=find_interface,
        run=_update,
    ),
    _action(
        "link_subnet",
        _link,
        title="Link a NIC to a subnet",
        check=_link_problems,
        doc=(
            "Of a machine that is Ready or Allocated. Its guest and its VM host follow when it is deployed. Links that "
            "the owner of a machine changes are as before after its release. A NIC has one link."
        ),
        fields=(
            Field(
                "mode",
                Choice(choices=tuple(mode.value for mode in LinkMode), any_case=True),
                "AUTO: a free address; STATIC: ip_address, or a free one; DHCP; LINK_UP: no address.",
                required=True,
            ),
            Field(
                "subnet",
                Text(max_length=300),
                "Id, CIDR or name of a subnet on the VLAN of the NIC. Every link has one.",
                recorded=True,
                example="3",
            ),
            Field("ip_address", Text(max_length=64), "The address, with mode=STATIC.", recorded=True),
            Field(
                "default_gateway",
                Boolean(),
                "The machine's default route goes through the gateway of this subnet.",
                default=False,
            ),
            Field(
                "force",
                Boolean(),
                "Replaces a link that has an address; without, one that has an address must be unlinked first.",
                default=False,
            ),
        ),
    ),
    _action(
        "unlink_subnet",
        lambda call: _end_link(call, call.values["id"]),
        title="Unlink a NIC from a subnet",
        doc="Releases the address of the link.",
        fields=(Field("id", _LINK_ID, "Id of the link, as the interface shows it.", required=True, example=41),),
        accepted=frozenset({"force"}),
    ),
    _action(
        "disconnect",
        lambda call: _end_link(call, None),
        title="Remove the link of a NIC",
        doc="Releases its address. The NIC stays where it is attached, and the guest does not configure it.",
    ),
    _action(
        "set_default_gateway",
        _set_default_gateway,
        title="Send the default route of a machine through a NIC",
        doc="The gateway is that of the subnet to which the NIC is linked.",
        fields=(Field("link_id", _LINK_ID, "Id of the link; a NIC has only one.", example=41),),
    ),
    _action("add_tag", lambda call: _set_tag(call, present=True), title="Add a tag to a NIC", fields=(_TAG,)),
    _action("remove_tag", lambda call: _set_tag(call, present=False), title="Remove a tag from a NIC", fields=(_TAG,)),
)
