"""What the removal of a host or cluster deletes, and what it keeps."""

from __future__ import annotations

from regiond.api.serializer import BOOL, INT, STR, Serializer, array, key, nullable, serializer
from regiond.machines.model import DiskView
from regiond.machines.service import AffectedGuest, HostRemovalPlan

_VOLUME: Serializer[DiskView] = serializer(
    "AffectedVolume",
    key("name", STR, lambda disk: disk.volume),
    key("storage_pool", STR, lambda disk: disk.storage_pool_name),
    key("size", INT, lambda disk: disk.size_bytes),
)
_GUEST: Serializer[AffectedGuest] = serializer(
    "AffectedGuest",
    key("name", STR, lambda guest: guest.name),
    key("host", STR, lambda guest: guest.host_name),
    key("system_id", nullable(STR), lambda guest: guest.system_id),
    key("adopted", BOOL, lambda guest: guest.adopted),
    key("locked", BOOL, lambda guest: guest.locked),
    key("power_state", STR, lambda guest: guest.power_state),
    key("volumes", array(_VOLUME), lambda guest: guest.disks),
)
HOST_REMOVAL_PLAN_JSON: Serializer[HostRemovalPlan] = serializer(
    "HostRemovalPlan",
    key("name", STR, lambda plan: plan.name),
    key("deleted", array(_GUEST), lambda plan: plan.deleted),
    key("kept", array(_GUEST), lambda plan: plan.kept),
)
