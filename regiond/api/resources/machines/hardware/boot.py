"""`machines/{system_id}/?op=set_boot`: sets the order in which a machine tries its disks and the network."""

from __future__ import annotations

from common.boot import BootDevice
from regiond.api.declaration.endpoint import Call
from regiond.api.declaration.field_types import Boolean, TextList
from regiond.api.declaration.fields import Field
from regiond.api.declaration.serializer import BOOL, Serializer, enum, fields_of, key, serializer
from regiond.api.resources.machines.hardware.hardware_changes import changing_hardware
from regiond.machines.values.boot import BootPlan, BootToSet
from regiond.machines.values.resize import Takes

BOOT_PLAN_JSON: Serializer[BootPlan] = serializer(
    "BootPlan",
    *fields_of(BootPlan, "name order", order=enum(BootDevice)),
    key("once", BOOL, lambda plan: plan.once),
    key("takes_effect", enum(Takes), lambda plan: plan.takes_effect),
    *fields_of(BootPlan, "effects"),
)
BOOT_FIELDS = (
    Field(
        "order",
        TextList(choices=tuple(one.value for one in BootDevice), commas=True, max_items=len(BootDevice)),
        "What the machine tries first, in order, separated by commas; what is left out follows as before.",
        required=True,
        example="network,disk",
    ),
    Field(
        "once",
        Boolean(),
        "Only when Innkeeper next starts the machine (default false).",
        default=False,
        example=True,
    ),
)


def boot_to_set(call: Call) -> BootToSet:
    return BootToSet(order=tuple(call.values["order"] or ()), once=call.values["once"])


SET_BOOT = changing_hardware(
    BOOT_PLAN_JSON,
    "set_boot",
    boot_to_set,
    title="Set what a machine boots from",
    doc="A machine that runs is not disturbed, and boots so from its next start on. If its hypervisor cannot "
    "change a running VM, the order is pending: the machine shows it, and Innkeeper makes the change when it next "
    "stops or starts the VM. With `once`, only the next start by Innkeeper is in this order, and the machine "
    "shows that until then; an order that the machine has anyway cancels it.",
    fields=BOOT_FIELDS,
    plan_doc="For a dry run: what would change, and when.",
    dry_run_doc="Change nothing; answer 200 with what would change, and when (default false).",
)
OF_ONE = (SET_BOOT,)
