"""Encodes a placement as the JSON that operations store and the API shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regiond.placement.checks import CHECK_OF_SUMMARY
from regiond.placement.model import DiskPlacement, Evaluation, HugePagesPlacement, NicAttachment, Placement


def explain(placement: Placement, *, reserved: Evaluation | None = None) -> Mapping[str, Any]:
    """Returns the placement as plain data. `reserved` replaces the best host after a lost race for it."""
    chosen = reserved or placement.chosen
    return {
        "chosen": chosen.host_name if chosen else None,
        "chosen_id": chosen.host_id if chosen else None,
        "disks": [_disk(disk) for disk in chosen.disks] if chosen else [],
        "notes": list(chosen.notes) if chosen else [],
        "nics": [_nic(nic) for nic in chosen.nics] if chosen else [],
        "pinned_cores": list(chosen.pinned_core_ids) if chosen else [],
        "huge_pages": [_pages(pages) for pages in chosen.pages] if chosen else [],
        "fitting": [
            {"host": one.host_name, "host_id": one.host_id, "score": one.score, "unmet": list(one.unmet)}
            for one in placement.ranked
        ],
        "rejected": [_rejected(one) for one in placement.rejected],
        "summarized": [
            {"hosts": hosts, "reason": reason, "check": CHECK_OF_SUMMARY.get(reason)}
            for reason, hosts in placement.summarized.items()
        ],
    }


def _rejected(one: Evaluation) -> Mapping[str, object]:
    return {
        "host": one.host_name,
        "host_id": one.host_id,
        "reasons": list(one.reasons),
        "checks": [failure.check.value for failure in one.failures],
    }


def _disk(disk: DiskPlacement) -> Mapping[str, object]:
    return {"label": disk.label, "size": disk.size_bytes, "tags": list(disk.tags), "storage_pool": disk.storage_pool}


def _nic(nic: NicAttachment) -> Mapping[str, object]:
    """Ids are those of the host's interface and its networks; `interface` is the name of the host's interface."""
    return {
        "label": nic.label,
        "name": nic.name,
        "kind": nic.kind.value,
        "interface": nic.source,
        "interface_id": nic.interface_id,
        "vlan": nic.vlan_id,
        "vid": nic.vid,
        "subnet": nic.subnet_id,
        "ip": nic.ip,
    }


def _pages(pages: HugePagesPlacement) -> Mapping[str, object]:
    return {"node": pages.node_id, "page_size": pages.size_kib * 1024, "pages": pages.pages}
