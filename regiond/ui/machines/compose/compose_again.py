"""The form of a compose that was requested before, so that it can be changed and requested again. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from common.errors import InvalidRequest
from common.guests.compose_request import ComposeRequest
from common.serialization import from_dict
from common.units import BYTES_PER_GB
from regiond.machines.values.requests import ComposeIntent, HostConstraints, Requested, StoredCompose
from regiond.operations.model import request_if_known
from regiond.placement.interface_parser import parse_interfaces
from regiond.placement.requirements import DiskRequirement, NicRequirement
from regiond.placement.storage_parser import parse_storage
from regiond.ui.machines.compose.compose_form import ANY, PIN_COUNT, PIN_IDS, ComposeForm, DiskRow, NicRow
from regiond.ui.views import formats

PAGE_SIZES_MIB = (None, 2, 1024)
_NIC_KEYS: Mapping[str, str] = {"space": "space", "subnet": "subnet", "type": "kind"}


class _NotShown(Exception):
    """The form has no field for a part of the request."""


def form_again(request: Mapping[str, Any]) -> ComposeForm | None:
    """`request` is that of the operation. None if it named no constraints, or some that the form has no fields for."""
    intent = _intent(request)
    if intent is None:
        return None
    asked, hosts = intent.request, intent.hosts
    shown = HostConstraints(
        hosts=hosts.hosts, zones=hosts.zones, not_in_zones=hosts.not_in_zones, pools=hosts.pools,
        not_in_pools=hosts.not_in_pools, tags=hosts.tags, not_tags=hosts.not_tags,
    )  # fmt: skip
    if hosts != shown:
        return None
    try:
        values = {
            "hostname": asked.hostname or "", "count": "1", "vm_zone": asked.zone or "", "vm_pool": asked.pool or "",
            "cores": str(asked.pin_cores or asked.cores), "memory": str(asked.memory_mib), "host": _one(hosts.hosts),
            "zone": _names(hosts.zones, hosts.not_in_zones), "pool": _names(hosts.pools, hosts.not_in_pools),
            "tags": _names(hosts.tags, hosts.not_tags), "architecture": asked.architecture or "",
            "pinned_cores": formats.ranges(asked.pinned_cores), "hugepage_size": _page_size(asked.huge_page_size_mib),
            "max_cores": _number(asked.max_cores), "max_memory": _number(asked.max_memory_mib),
            "template": asked.template or "", "of_template": asked.template or "",
            "affinity": _names(asked.affinity), "anti_affinity": _names(asked.anti_affinity),
            "register_in_maas": asked.register_in_maas or "", "owner": asked.owner or "",
        }  # fmt: skip
        disks = parse_storage(asked.storage) if asked.storage else ()
        nics = parse_interfaces(asked.interfaces) if asked.interfaces else ()
        return ComposeForm(
            values=values,
            pins=PIN_IDS if asked.pinned_cores else PIN_COUNT if asked.pin_cores else ANY,
            ticks=frozenset(name for name, is_set in _ticks(asked).items() if is_set),
            disks=tuple(_disk_row(number, disk) for number, disk in enumerate(disks)) or (DiskRow(number=0),),
            nics=tuple(_nic_row(number, nic) for number, nic in enumerate(nics)),
        )
    except (InvalidRequest, _NotShown):
        return None


def _intent(request: Mapping[str, Any]) -> ComposeIntent | None:
    """An accepted request is stored as its intent, a rejected one as its fields."""
    stored, rejected = request_if_known(request, StoredCompose), request_if_known(request, Requested)
    if rejected is None:
        return None if stored is None else stored.intent
    try:
        fields = {name: value for name, value in rejected.requested.items() if name != "hosts"}
        if fields.get("host_id") is not None or not fields:
            return None
        hosts = from_dict(rejected.requested.get("hosts", {}), HostConstraints)
        return ComposeIntent(request=from_dict(fields, ComposeRequest), hosts=hosts)
    except InvalidRequest:  # that of another release
        return None


def asked_copy(request: Mapping[str, Any]) -> ComposeRequest | None:
    """Returns what was asked for when a machine with a template was composed; None: it is not known."""
    stored = request_if_known(request, StoredCompose)
    return None if stored is None else stored.asked


def _ticks(asked: ComposeRequest) -> Mapping[str, bool]:
    return {
        "hugepages_backed": asked.huge_pages_backed,
        "one_numa_node": asked.one_numa_node,
        "uefi": asked.uefi,
        "secure_boot": asked.secure_boot,
        "stock": asked.stock,
        "tpm": asked.tpm,
        "power_on": asked.power_on,
    }


def _number(amount: int | None) -> str:
    return "" if amount is None else str(amount)


def _one(values: Sequence[str]) -> str:
    if len(values) > 1:
        raise _NotShown
    return values[0] if values else ""


def _names(wanted: Sequence[str], unwanted: Sequence[str] = ()) -> str:
    return ", ".join((*wanted, *(f"!{name}" for name in unwanted)))


def _page_size(size_mib: int | None) -> str:
    if size_mib not in PAGE_SIZES_MIB:
        raise _NotShown
    return "" if size_mib is None else str(size_mib)


def _disk_row(number: int, disk: DiskRequirement) -> DiskRow:
    if disk.size_bytes % BYTES_PER_GB or not disk.size_bytes:
        raise _NotShown
    return DiskRow(
        number=number, size=str(disk.size_bytes // BYTES_PER_GB), pool=_one(disk.pools), tags=", ".join(disk.tags)
    )


def _nic_row(number: int, nic: NicRequirement) -> NicRow:
    found: dict[str, str] = {}
    for condition in nic.conditions:
        if condition.negated or condition.key not in _NIC_KEYS:
            raise _NotShown
        found[_NIC_KEYS[condition.key]] = _one(condition.values)
    if not nic.configured:
        raise _NotShown
    return NicRow(number=number, name=nic.label, ip=nic.ip or "", **found)
