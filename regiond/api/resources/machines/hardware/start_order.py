"""`machines/{system_id}/?op=set_start_order`: the order in which machines start with their host."""

from __future__ import annotations

from common.boot import MAX_START_DELAY_S, MAX_START_PRIORITY
from regiond.api.declaration.field_types import Integer
from regiond.api.declaration.fields import Field
from regiond.api.declaration.served import filled
from regiond.api.resources.machines.hardware.hardware_changes import changing_hardware, in_sentences
from regiond.machines.hardware.start_order import StartOrderToSet
from regiond.requests.caller import Permission

SET_START_ORDER = changing_hardware(
    in_sentences("StartOrderPlan"),
    "set_start_order",
    filled(StartOrderToSet),
    permission=Permission.ADMIN,
    title="Set when a machine starts with its host",
    doc="Of the machines that start with a host (autostart), those with a higher priority start first. 409 for "
    "hypervisors that start their VMs in no order, such as libvirt.",
    fields=(
        Field(
            "priority",
            Integer(maximum=MAX_START_PRIORITY),
            "Higher ones start first (default: as it is; a new machine has 0).",
            example=10,
        ),
        Field(
            "delay",
            Integer(maximum=MAX_START_DELAY_S, unit="s"),
            "Seconds until the next machine starts (default: as it is; a new machine has 0).",
            example=30,
        ),
    ),
)
OF_ONE = (SET_START_ORDER,)
