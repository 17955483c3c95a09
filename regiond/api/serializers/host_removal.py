"""What the removal of a host or cluster deletes, and what it keeps."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from regiond.api.declaration.serializer import (
    BOOL,
    INT,
    STR,
    Serializer,
    array,
    constant,
    enum,
    item,
    key,
    nullable,
    serializer,
)
from regiond.hosts.model import CertificateFate
from regiond.machines.model import DiskView
from regiond.machines.service import AffectedGuest, HostRemovalPlan


class Confirm(StrEnum):
    """What a person should type before the call: the plan's name where data is destroyed."""

    NAME = "name"
    YES = "yes"


_VOLUME: Serializer[DiskView] = serializer(
    "AffectedVolume",
    key("name", STR, lambda disk: disk.volume),
    key("storage_pool", STR, lambda disk: disk.storage_pool_name),
    key("size", INT, lambda disk: disk.size_bytes),
)
GUEST_JSON: Serializer[AffectedGuest] = serializer(
    "AffectedGuest",
    key("name", STR, lambda guest: guest.name),
    key("host", STR, lambda guest: guest.host_name),
    key("system_id", nullable(STR), lambda guest: guest.system_id),
    key("adopted", BOOL, lambda guest: guest.adopted),
    key("locked", BOOL, lambda guest: guest.locked),
    key("power_state", STR, lambda guest: guest.power_state),
    key("volumes", array(_VOLUME), lambda guest: guest.disks),
    key("guest_name", STR, lambda guest: guest.guest_name),
    key("addresses", array(STR), lambda guest: guest.addresses),
    key("devices", array(STR), lambda guest: guest.devices),
)
_CERTIFICATE: Serializer[CertificateFate] = serializer(
    "AffectedCertificate",
    key("fingerprint", STR, lambda fate: fate.fingerprint),
    key("removed", BOOL, lambda fate: fate.removed),
    key("explanation", STR, lambda fate: fate.explanation),
)
HOST_REMOVAL_PLAN_JSON: Serializer[HostRemovalPlan] = serializer(
    "HostRemovalPlan",
    key("name", STR, lambda plan: plan.name),
    constant("confirm", enum(Confirm), Confirm.NAME),
    key("deleted", array(GUEST_JSON), lambda plan: plan.deleted),
    key("kept", array(GUEST_JSON), lambda plan: plan.kept),
    key("lost", array(GUEST_JSON), lambda plan: plan.lost),
    key("certificates", array(_CERTIFICATE), lambda plan: plan.certificates),
    key("effects", array(STR), lambda plan: plan.effects),
)
FORCED_REMOVAL_JSON: Serializer[Mapping[str, Any]] = serializer(
    "ForcedRemoval",
    item("name", STR),
    item("lost", array(STR)),
    item("kept", array(STR)),
)
