"""What a deletion, release or other destructive call deletes and keeps."""

from __future__ import annotations

from regiond.api.declaration.serializer import STR, Serializer, array, constant, enum, key, serializer
from regiond.api.serializers.host_removal import GUEST_JSON, Confirm
from regiond.deletion_plan import AffectedRecord, DeletionPlan
from regiond.machines.service import MachineRemovalPlan

_RECORD: Serializer[AffectedRecord] = serializer(
    "AffectedRecord",
    key("kind", STR, lambda record: record.kind),
    key("id", STR, lambda record: record.id),
    key("name", STR, lambda record: record.name),
)
DELETION_PLAN_JSON: Serializer[DeletionPlan] = serializer(
    "DeletionPlan",
    key("name", STR, lambda plan: plan.name),
    constant("confirm", enum(Confirm), Confirm.YES),
    key("deleted", array(_RECORD), lambda plan: plan.deleted),
    key("kept", array(_RECORD), lambda plan: plan.kept),
    key("effects", array(STR), lambda plan: plan.effects),
)
MACHINE_REMOVAL_PLAN_JSON: Serializer[MachineRemovalPlan] = serializer(
    "MachineRemovalPlan",
    key("name", STR, lambda plan: plan.name),
    key("confirm", enum(Confirm), lambda plan: Confirm.NAME if plan.deleted or plan.confirmed_with else Confirm.YES),
    key("deleted", array(GUEST_JSON), lambda plan: plan.deleted),
    key("kept", array(GUEST_JSON), lambda plan: plan.kept),
    key("effects", array(STR), lambda plan: plan.effects),
    key("confirmed_with", array(STR), lambda plan: plan.confirmed_with),
)
