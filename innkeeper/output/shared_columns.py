"""Columns that several lists have: capacity, disks and interfaces."""

from __future__ import annotations

from innkeeper.output.columns import COUNT, ESSENTIAL, GB, GIB_OF_MIB, WHOLE_GB, column

CAPACITY = (  # `used` where the capacity is not known yet, and for `--columns`
    column("used.cores", "cores", unit=COUNT, of="total.cores", rank=2, unless="capacity"),
    column("used.memory", "memory", unit=GIB_OF_MIB, of="total.memory", rank=2, unless="capacity"),
    column("used.local_storage", "storage", unit=WHOLE_GB, of="total.local_storage", rank=3, unless="capacity"),
    column("capacity.cores.free", "free cores", unit=COUNT, of="capacity.cores.claimable", rank=2, short="CPU"),
    column(
        "capacity.memory_mib.free",
        "free memory",
        unit=GIB_OF_MIB,
        of="capacity.memory_mib.claimable",
        rank=2,
        short="GiB",
    ),
    column(
        "capacity.storage_bytes.free",
        "free storage",
        unit=WHOLE_GB,
        of="capacity.storage_bytes.claimable",
        rank=3,
        short="GB",
    ),
)
DISKS = (
    column("id", rank=2),
    column("name", rank=ESSENTIAL),
    column("size", unit=GB, rank=ESSENTIAL),
    column("storage_pool_name", "storage pool", rank=ESSENTIAL),
    column("tags", rank=2),
    column("id_path", "path in the guest", rank=4),
)
INTERFACES = (
    column("id", rank=4),
    column("name", rank=ESSENTIAL),
    column("type", rank=4),
    column("mac_address", rank=1),
    column("vlan", rank=3),
    column("links", "address", rank=1),
)
DESCRIPTION = column("description", rank=6, prose=True)
