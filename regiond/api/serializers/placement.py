"""Placements: the chosen host, the guest's resources there, and the reason against every other host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regiond.api.declaration.serializer import INT, NUMBER, STR, Key, Serializer, array, item, key, nullable, serializer
from regiond.api.serializers.vm_hosts.capacity import CAPACITY_JSON

_DISK = serializer(
    "PlacedDisk", item("label", STR), item("size", INT), item("tags", array(STR)), item("storage_pool", STR)
)
_NIC = serializer(
    "PlacedNic",
    item("label", STR),
    item("name", STR),
    item("kind", STR),
    item("interface", STR),
    item("interface_id", nullable(INT)),
    item("vlan", nullable(INT)),
    item("vid", nullable(INT)),
    item("subnet", nullable(INT)),
    item("ip", nullable(STR)),
)
_HUGE_PAGES = serializer("PlacedHugePages", item("node", INT), item("page_size", INT), item("pages", INT))
HOST_CAPACITY_JSON = nullable(CAPACITY_JSON)  # null: unknown, because the host had no successful refresh
_CAPACITY = item("capacity", HOST_CAPACITY_JSON)
_FITTING = serializer(
    "FittingHost", item("host", STR), item("host_id", INT), item("score", NUMBER), item("unmet", array(STR)), _CAPACITY
)
# Operations of older releases have no checks.
_REJECTED = serializer(
    "RejectedHost",
    item("host", STR),
    item("host_id", INT),
    item("reasons", array(STR)),
    key("checks", array(STR), lambda host: host.get("checks", ())),
    _CAPACITY,
)
_SUMMARIZED = serializer(
    "SummarizedHosts",
    item("hosts", INT),
    item("reason", STR),
    key("check", nullable(STR), lambda hosts: hosts.get("check")),
)

_ON_HOST = serializer("PlacedMachine", item("host", STR), item("host_id", INT))

# The source is the explanation that `regiond.placement` stores with an operation, with the capacity of each host.
_ITEMS: tuple[Key[Mapping[str, Any]], ...] = (
    item("chosen", nullable(STR)),
    item("chosen_id", nullable(INT)),
    item("disks", array(_DISK)),
    key("notes", array(STR), lambda placement: placement.get("notes", ())),  # operations of older releases lack it
    item("nics", array(_NIC)),
    item("pinned_cores", array(INT)),
    item("huge_pages", array(_HUGE_PAGES)),
    item("fitting", array(_FITTING)),
    item("rejected", array(_REJECTED)),
    item("summarized", array(_SUMMARIZED)),
)
PLACEMENT_JSON: Serializer[Mapping[str, Any]] = serializer("Placement", *_ITEMS)
# A dry run also has the host of each machine that fits, and why a quota would refuse them all the same.
PLACED_JSON: Serializer[Mapping[str, Any]] = serializer(
    "DryRunPlacement",
    *_ITEMS,
    key("placements", array(_ON_HOST), lambda placement: placement.get("placements", ())),
    key("refused", nullable(STR), lambda placement: placement.get("refused")),
)
