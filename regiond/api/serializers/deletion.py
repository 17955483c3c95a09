"""JSON of dry runs: the objects that a deletion, release or removal deletes and keeps."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from regiond.api.declaration.serializer import STR, Serializer, array, constant, enum, fields_of, item, key, serializer
from regiond.hosts.removal_model import CertificateFate
from regiond.machines.removal_plans.host_removal_plan import AffectedGuest, HostRemovalPlan
from regiond.machines.removal_plans.machine_removal_plan import MachineRemovalPlan
from regiond.machines.values.disks import DiskPlan, DiskView
from regiond.machines.values.nics import NicPlan
from regiond.machines.values.power import PowerPlan
from regiond.requests.deletion_plan import AffectedRecord, DeletionPlan


class Confirm(StrEnum):
    """The text that a person should type before the call: the plan's name where data is destroyed."""

    NAME = "name"
    YES = "yes"


_VOLUME: Serializer[DiskView] = serializer(
    "AffectedVolume", *fields_of(DiskView, "name=volume storage_pool=storage_pool_name size=size_bytes")
)
GUEST_JSON: Serializer[AffectedGuest] = serializer(
    "AffectedGuest",
    *fields_of(
        AffectedGuest,
        "name host=host_name system_id adopted locked power_state volumes=disks guest_name addresses devices",
        volumes=_VOLUME,
    ),
)
_CERTIFICATE: Serializer[CertificateFate] = serializer(
    "AffectedCertificate", *fields_of(CertificateFate, "fingerprint removed explanation")
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
_RECORD: Serializer[AffectedRecord] = serializer("AffectedRecord", *fields_of(AffectedRecord, "kind id name"))


_YES = constant("confirm", enum(Confirm), Confirm.YES)


def _change_plan(name: str, confirm: Any) -> Serializer[Any]:
    """Returns the serializer of a plan that deletes no object: its effects are sentences."""
    return serializer(
        name,
        key("name", STR, lambda plan: plan.name),
        confirm,
        constant("deleted", array(STR), ()),
        constant("kept", array(STR), ()),
        key("effects", array(STR), lambda plan: plan.effects),
    )


DISK_PLAN_JSON: Serializer[DiskPlan] = _change_plan(
    "DiskPlan", key("confirm", enum(Confirm), lambda plan: Confirm.NAME if plan.loses_data else Confirm.YES)
)
POWER_PLAN_JSON: Serializer[PowerPlan] = _change_plan("PowerPlan", _YES)
NIC_PLAN_JSON: Serializer[NicPlan] = _change_plan("NicPlan", _YES)
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
