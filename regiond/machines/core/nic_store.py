"""SQL for the NICs of machines, with their networks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from ipaddress import ip_address

from regiond.db.pool import Db, of_row
from regiond.machines.values.nics import NicView
from regiond.networks import store as network_store
from regiond.networks.interface_store import HAS_OWN_VLAN
from regiond.networks.ipam import seen_service

# Networks can change after a machine was composed: the VLAN of a NIC is its subnet's or host interface's present VLAN,
# unless its host gives it one of its own.
_NICS = f"""
    select distinct on (n.machine_id, n.index)
           n.id, n.machine_id, n.index, n.name, n.mac_address, n.kind, n.source, n.label, n.mode, n.vid, n.tags,
           n.interface_id,
           n.gateway_versions, coalesce(n.link_id, n.id) as link_id,
           coalesce(s.vlan_id, case when not {HAS_OWN_VLAN} then i.vlan_id end, n.vlan_id) as vlan_id,
           n.subnet_id, host(a.address) as address
      from machine_nic n
      left join subnet s on s.id = n.subnet_id
      left join host_interface i on i.id = n.interface_id
      left join ip_address a on a.machine_id = n.machine_id and a.nic_id = n.id
     where n.machine_id = any($1::integer[]) order by n.machine_id, n.index, a.id
"""  # noqa: S608  a constant


async def of_machines(db: Db, machine_ids: Sequence[int]) -> Mapping[int, tuple[NicView, ...]]:
    """Returns the NICs of each machine, in their order; omits machines without NICs."""
    rows = await db.fetch(_NICS, machine_ids) if machine_ids else []
    vlan_ids = {row["vlan_id"] for row in rows} - {None}
    subnet_ids = {row["subnet_id"] for row in rows} - {None}
    vlans = {vlan.id: vlan for vlan in await network_store.vlans(db, ids=vlan_ids)} if vlan_ids else {}
    read = await network_store.subnets(db, ids=subnet_ids, known=vlans) if subnet_ids else ()
    subnets = {one.id: one for one in read}
    seen = await seen_service.seen_addresses(db, machine_ids) if rows else {}
    found: defaultdict[int, list[NicView]] = defaultdict(list)
    for row in rows:
        nic = of_row(
            NicView,
            row,
            seen=seen.get(row["id"], ()),
            tags=tuple(row["tags"]),
            gateway_versions=tuple(row["gateway_versions"]),
            vlan=vlans.get(row["vlan_id"]),
            subnet=subnets.get(row["subnet_id"]),
            ip_address=None if row["address"] is None else ip_address(row["address"]),
        )
        found[row["machine_id"]].append(nic)
    return {machine_id: tuple(nics) for machine_id, nics in found.items()}
