"""What the read of one object shows first, by resource: its lines, and the lists below them."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from innkeeper.output.columns import (
    COUNT,
    DURATION,
    GB,
    GB_OF_MB,
    GIB_OF_BYTES,
    GIB_OF_MIB,
    RATIO,
    WHOLE_GB,
    Column,
    column,
    columns,
)


@frozen(kw_only=True)
class Section:
    """A list inside the object: its key and heading, and at most how many of its last rows.

    With `only_with`, shown only if the object has a value of that key.
    """

    key: str
    heading: str
    last: int | None = None
    only_with: str = ""


@frozen(kw_only=True)
class Shape:
    """`needs`: the keys that an object of the resource has. Other responses of its actions are shown in full."""

    needs: tuple[str, ...]
    lines: tuple[Column, ...]
    sections: tuple[Section, ...] = ()


_CAPACITY = (
    column("used.cores", "cores used", unit=COUNT, of="total.cores", unless="capacity"),
    column("used.memory", "memory used", unit=GIB_OF_MIB, of="total.memory", unless="capacity"),
    column("used.local_storage", "storage used", unit=WHOLE_GB, of="total.local_storage", unless="capacity"),
    column("capacity.cores.free", "free cores", unit=COUNT, of="capacity.cores.claimable"),
    column("capacity.memory_mib.free", "free memory", unit=GIB_OF_MIB, of="capacity.memory_mib.claimable"),
    column("capacity.storage_bytes.free", "free storage", unit=WHOLE_GB, of="capacity.storage_bytes.claimable"),
)
_POOLS = Section(key="storage_pools", heading="storage pools")

PLACEMENT = Shape(  # of `place` and of the dry run of a compose
    needs=("chosen", "fitting", "rejected"),
    lines=(column("chosen"), *columns("pinned_cores", "huge_pages"), column("notes")),
    sections=tuple(
        Section(key=key, heading=key) for key in ("disks", "nics", "fitting", "rejected", "summarized", "tried")
    ),
)
OBJECTS: Mapping[str, Shape] = {
    "boot-resources": Shape(
        needs=("id", "name", "sets"),
        lines=(
            *columns("id", "name", "title", "architecture", "state", "error", "format", "filetype", "sha256"),
            column("received", unit=GIB_OF_BYTES, of="size"),
            column("virtual_size", "disk", unit=GIB_OF_BYTES),
            column("vm_host.name", "on"),
            column("alias"),
            *columns("created", "updated", "expires"),
        ),
        sections=(Section(key="copies", heading="copies"),),
    ),
    "vm-hosts": Shape(
        needs=("id", "name", "type"),
        lines=(
            *columns("id", "name", "type", "state", "maintenance", "error", "address", "project"),
            column("cluster_name", "cluster"),
            *columns("zone", "pool", "tags"),
            *_CAPACITY,
            column("cpu_over_commit_ratio", "core ratio", unit=RATIO, usual=1.0),
            column("memory_over_commit_ratio", "memory ratio", unit=RATIO, usual=1.0),
            column("reserved_cores", unit=COUNT, usual=0),
            column("reserved_memory", unit=GIB_OF_MIB, usual=0),
            column("autostart", usual="default"),
            column("version"),
            column("refreshed_at", "refreshed"),
        ),
        sections=(_POOLS, Section(key="problems", heading="problems")),
    ),
    "vm-clusters": Shape(
        needs=("id", "name", "vmhost_count"),
        lines=(
            *columns("id", "name", "project", "version"),
            column("vmhost_count", "hosts"),
            column("vm_count", "VMs"),
            *_CAPACITY,
        ),
        sections=(_POOLS,),
    ),
    "machines": Shape(
        needs=("system_id", "hostname", "status_name"),
        lines=(
            *columns("system_id", "hostname"),
            column("guest_name", "guest", same_as="hostname"),
            column("pod", "host"),
            column("status_name", "status"),
            column("error_description", "error"),
            column("power_state", "power"),
            column("locked", usual=False),
            column("owner"),
            column("ip_addresses", "addresses"),
            column("cpu_count", "cores"),
            column("memory", unit=GIB_OF_MIB),
            column("storage", unit=GB_OF_MB),
            *columns("architecture", "zone", "pool"),
            column("tag_names", "tags"),
            column("description"),
        ),
        sections=(
            Section(key="blockdevice_set", heading="disks"),
            Section(key="interface_set", heading="interfaces"),
        ),
    ),
    "virtual-machines": Shape(
        needs=("id", "identifier"),
        lines=(
            column("id"),
            column("identifier", "name"),
            column("host_name", "host"),
            column("project"),
            column("power_state", "power"),
            column("cpu_count", "cores"),
            column("memory", unit=GIB_OF_MIB),
            *columns("pinned_cores", "system_id", "hostname"),
        ),
    ),
    "operations": Shape(
        needs=("id", "kind", "state"),
        lines=(
            *columns("id", "kind", "state", "step"),
            column("wait_reason", "waits for"),
            column("error"),
            column("host_name", "host"),
            column("hostname", "machine"),
            *columns("system_id", "chosen"),
            column("username", "user"),
            column("parent_id", "opened by"),
            column("attempt", usual=1),
            column("cancel_requested", usual=False),
            column("undone"),
            column("created_at", "created"),
            column("started_at", "started"),
            column("finished_at", "finished"),
            column("rejections", usual=0),
            column("last_rejected_at", "last rejected"),
            column("result.deleted", "deleted"),
            column("result.kept", "kept"),
        ),
        sections=(
            Section(key="fitting", heading="fitting", only_with="error"),
            Section(key="rejected", heading="rejected", only_with="error"),
            Section(key="tried", heading="tried"),
            Section(key="log", heading="log", last=10),
        ),
    ),
    "racks": Shape(
        needs=("id", "name", "connected"),
        lines=(
            *columns("id", "name", "state"),
            column("age_s", "age", unit=DURATION),
            *columns("release", "hosts_reached"),
            column("hosts_unreached", usual=0),
            column("seen_at", "last seen"),
            column("joined_at", "joined"),
            column("certificate_expires_at", "certificate expires"),
            column("removed_at", "removed"),
            column("stolen_at", "reported stolen"),
            column("all_zones", "all zones", usual=True),
            column("zones"),
        ),
        sections=(
            Section(key="hosts", heading="hosts", only_with="hosts_unreached"),
            Section(key="rotations", heading="rotations of its credentials"),
            Section(key="by_hand", heading="to be replaced by a person"),
        ),
    ),
    "subnets": Shape(
        needs=("id", "cidr"),
        lines=(
            *columns("id", "cidr", "name", "vlan", "space"),
            column("gateway_ip", "gateway"),
            *columns("dns_servers", "managed", "description"),
        ),
    ),
    "vlans": Shape(
        needs=("id", "vid", "fabric"),
        lines=(
            *columns("id", "fabric"),
            column("vid"),
            *columns("name", "space", "mtu", "dhcp", "description"),
        ),
    ),
    "interfaces": Shape(
        needs=("id", "name", "mac_address"),
        lines=(
            *columns("id", "name", "type", "mac_address", "vlan"),
            column("links", "address"),
            *columns("effective_mtu", "attachable", "enabled", "parents", "children", "tags"),
        ),
    ),
    "block-devices": Shape(
        needs=("id", "name", "size"),
        lines=(
            *columns("id", "name"),
            column("size", unit=GB),
            column("storage_pool_name", "storage pool"),
            column("tags"),
            column("id_path", "path in the guest"),
            column("serial"),
        ),
    ),
    "discrepancies": Shape(
        needs=("id", "kind", "remedy"),
        lines=(
            *columns("id", "kind", "name"),
            column("host_name", "host"),
            *columns("system_id", "since", "found", "expected", "data_at_risk"),
            column("repair_policy", "repair"),
            *columns("remedy", "repaired_at", "repaired"),
        ),
    ),
}
