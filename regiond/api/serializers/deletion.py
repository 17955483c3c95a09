"""What a deletion, release or other destructive call deletes and keeps."""

from __future__ import annotations

from regiond.api.declaration.serializer import STR, Serializer, constant, enum, fields_of, key, serializer
from regiond.api.serializers.host_removal import GUEST_JSON, Confirm
from regiond.deletion_plan import AffectedRecord, DeletionPlan
from regiond.machines.service import MachineRemovalPlan

_RECORD: Serializer[AffectedRecord] = serializer("AffectedRecord", *fields_of(AffectedRecord, "kind id name"))
DELETION_PLAN_JSON: Serializer[DeletionPlan] = serializer(
    "DeletionPlan",
    key("name", STR, lambda plan: plan.name),
    constant("confirm", enum(Confirm), Confirm.YES),
    *fields_of(DeletionPlan, "deleted kept effects", deleted=_RECORD, kept=_RECORD),
)
MACHINE_REMOVAL_PLAN_JSON: Serializer[MachineRemovalPlan] = serializer(
    "MachineRemovalPlan",
    key("name", STR, lambda plan: plan.name),
    key("confirm", enum(Confirm), lambda plan: Confirm.NAME if plan.deleted or plan.confirmed_with else Confirm.YES),
    *fields_of(MachineRemovalPlan, "deleted kept effects confirmed_with", deleted=GUEST_JSON, kept=GUEST_JSON),
)
