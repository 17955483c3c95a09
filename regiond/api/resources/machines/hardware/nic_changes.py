"""NICs that machines and devices get, change and lose: `op=add_interface` …, MAAS's requests."""

from __future__ import annotations

from functools import partial
from typing import Any

from attrs import evolve

from regiond.api.declaration.dry_run import DRY_RUN, PLAN, is_dry_run, plan_reply
from regiond.api.declaration.endpoint import Call, Endpoint, Result
from regiond.api.declaration.field_types import Text, TextList
from regiond.api.declaration.fields import Field
from regiond.api.declaration.operation_wait import STARTED, is_repeat, when_done, without_content
from regiond.api.declaration.serializer import one_of
from regiond.api.replies import Reply, empty_reply, json_reply
from regiond.api.resources.machines.hardware.hardware_changes import begun, changing_hardware
from regiond.api.resources.machines.hardware.interface_links import (
    INTERFACE_RESULT,
    MTU,
    nic_change,
    of_device,
    vlan_id_in,
)
from regiond.api.resources.machines.hardware.interface_targets import NicOfDevice, NicOfMachine, find_nic, find_node
from regiond.api.resources.shared.lookups import one_of_object
from regiond.api.serializers.deletion import DELETION_PLAN_JSON, NIC_PLAN_JSON
from regiond.api.serializers.machines import encode_interface
from regiond.machines.values.devices import DeviceView
from regiond.machines.values.model import MachineView
from regiond.machines.values.nics import NicPlan, NicToAdd, NicToChange, NicToRemove
from regiond.operations.model import Operation
from regiond.requests.caller import Permission

_EITHER_PLAN: Result[Any] = Result(doc=PLAN.doc, type=one_of(DELETION_PLAN_JSON, NIC_PLAN_JSON))
_MAC = Field(
    "mac_address",
    Text(max_length=64),
    "Its MAC address (default for a machine: one is chosen).",
    recorded=True,
    default="",
    example="52:54:00:00:00:20",
)
_INTERFACES = Field(
    "interfaces",
    Text(max_length=4096),
    "One interface constraint as for compose, whose label is its name (default: the host's default network).",
    recorded=True,
    default="",
    example="eth1:space=dmz",
)
NIC_OF_MANY = evolve(
    _INTERFACES,
    doc="One interface constraint as for compose, without a static address; its label is the name of each NIC "
    "(default: the host's default network, with the first free name).",
)
_NAME = Field(
    "name",
    Text(max_length=15),
    "Its name (default: the first free of eth0, eth1 …).",
    recorded=True,
    example="eth1",
)
INTERFACE = Field(
    "interface", Text(max_length=64), "Id or name of the NIC.", recorded=True, required=True, example="eth1"
)


def _plan_reply(plan: NicPlan) -> Reply:
    return json_reply(NIC_PLAN_JSON.encode(plan))


def _to_add(call: Call) -> NicToAdd:
    return NicToAdd(
        constraint=call.values["interfaces"],
        name=call.values["name"] or "",
        mac_address=call.values["mac_address"],
        tags=tuple(call.values["tags"]),
    )


def _nic_id(call: Call) -> int:
    """Returns the id of the NIC that the field names; 0 for a repeated request. Raises NotFound."""
    if is_repeat(call):
        return 0
    machine: MachineView = call.target
    what = f"interface of {machine.hostname}"
    return one_of_object(what, call.values["interface"], machine.nics, lambda nic: (nic.id, nic.name)).id


def _to_change(call: Call) -> NicToChange:
    return NicToChange(
        nic_id=_nic_id(call), constraint=call.values["interfaces"], mac_address=call.values["mac_address"]
    )


def _to_remove(call: Call) -> NicToRemove:
    return NicToRemove(nic_id=_nic_id(call))


async def _create_physical(call: Call) -> Reply:
    """Adds a NIC to the machine or device."""
    node = call.target
    if isinstance(node, DeviceView):
        added = await call.services.devices.add_nic(call.caller, node.system_id, nic_change(call))
        return json_reply(of_device(node, added))
    nic = NicToAdd(
        name=call.values["name"] or "",
        vlan_id=vlan_id_in(call.values["vlan"]),
        mac_address=call.values["mac_address"],
        tags=tuple(call.values["tags"] or ()),
    )
    operation = await begun(call, node.system_id, nic)

    async def created(ended: Operation) -> Reply:
        machine = await call.services.machines.read(node.system_id, caller=call.caller)
        added = next(one for one in machine.nics if one.mac_address == ended.result["mac_address"])
        return json_reply(encode_interface(machine, added))

    return await when_done(call, operation, created)


async def _delete(call: Call) -> Reply:
    target: NicOfMachine | NicOfDevice | None = call.target  # None: a repeat of the request after the NIC was removed
    if isinstance(target, NicOfDevice):
        plan = await call.services.devices.delete_nic(
            call.caller, target.device.system_id, target.nic.id, dry_run=is_dry_run(call)
        )
        return plan_reply(plan) if is_dry_run(call) else empty_reply()
    system_id = call.path["system_id"] if target is None else target.machine.system_id
    change = NicToRemove(nic_id=0 if target is None else target.nic.id)
    if is_dry_run(call):
        return _plan_reply(await call.services.hardware.plan(call.caller, system_id, change))
    return await when_done(call, await begun(call, system_id, change), without_content)


_changing_nics = partial(changing_hardware, NIC_PLAN_JSON)
ADD_INTERFACE = _changing_nics(
    "add_interface",
    _to_add,
    title="Add a NIC to a machine",
    doc="The machine gets the NIC, also while it runs. If its hypervisor cannot add one to a running VM, the "
    "request is rejected: shut the VM down first. The system in the VM configures the NIC, or the next deployment "
    "does.",
    fields=(
        _INTERFACES,
        _NAME,
        _MAC,
        Field("tags", TextList(), "A tag of the NIC; repeatable.", recorded=True, default=(), example="uplink"),
    ),
)
REMOVE_INTERFACE = _changing_nics(
    "remove_interface",
    _to_remove,
    title="Remove a NIC from a machine",
    doc="Its addresses are free then. A running VM has to give the NIC back; if it does not, the request is "
    "rejected and nothing has changed. The first NIC of a machine cannot be removed.",
    fields=(INTERFACE,),
    destructive=True,
)
CHANGE_INTERFACE = _changing_nics(
    "change_interface",
    _to_change,
    title="Give a NIC of a machine another network or MAC address",
    doc="The NIC keeps its name, tags and place. libvirt connects a running VM to another network at once; other "
    "changes need a VM that is off, and are rejected while it runs. The system in the VM configures the NIC anew, "
    "or the next deployment does.",
    fields=(
        INTERFACE,
        evolve(
            _INTERFACES,
            doc="One interface constraint as for compose, whose label is not used: the new network, and a static "
            "address in it (default: both stay).",
        ),
        evolve(_MAC, doc="Its new MAC address (default: it stays)."),
    ),
)
OF_ONE = (ADD_INTERFACE, CHANGE_INTERFACE, REMOVE_INTERFACE)
CREATE_PHYSICAL = Endpoint(
    method="POST",
    op="create_physical",
    permission=Permission.OWNER,
    title="Add an interface to a machine or device",
    doc="A machine gets another NIC on its host, as with add_interface.",
    fields=(
        evolve(_MAC, doc="Its MAC address.", default=None, required=True),
        _NAME,
        Field("vlan", Text(max_length=64), "Id of its VLAN (default: the host's default network).", recorded=True),
        MTU,
        Field("tags", TextList(commas=True), "Its tags, separated by commas or repeated.", recorded=True),
    ),
    opens_operation=True,
    other_answers=(STARTED,),
    result=INTERFACE_RESULT,
    find=find_node,
    run=_create_physical,
)
DELETE_INTERFACE = Endpoint(
    method="DELETE",
    permission=Permission.OWNER,
    title="Delete an interface of a machine or device",
    doc="Releases its addresses. A machine loses the NIC, as with remove_interface.",
    fields=(DRY_RUN,),
    result=Result(doc="Nothing."),
    success=204,
    opens_operation=True,
    outlives_target=True,
    other_answers=((200, _EITHER_PLAN), STARTED),
    find=find_nic,
    run=_delete,
)
