"""Binds the NICs of machines to interfaces of their host, where compose did not choose one."""

from __future__ import annotations

from regiond.db.pool import Db

# By name, and by kind if several interfaces have the name. A network of the hypervisor is not an interface of the
# server, while a NIC on a bridge may be on a bridge that the hypervisor manages.
_BIND = """
    update machine_nic n
       set interface_id = match.id, vlan_id = coalesce(match.vlan_id, n.vlan_id)
      from (select k.id as nic_id, i.id, i.vlan_id,
                   row_number() over (partition by k.id order by i.kind <> k.kind, i.kind = 'network', i.id) as rank
              from machine m
              join machine_nic k on k.machine_id = m.id
              join host_interface i on i.host_id = m.host_id and i.missing_since is null and i.name = k.source
                   and (i.kind = k.kind or (k.kind <> 'network' and k.source <> ''))
             where m.id = any($1::integer[])) match
     where n.id = match.nic_id and match.rank = 1
       and (n.interface_id, n.vlan_id) is distinct from (match.id, coalesce(match.vlan_id, n.vlan_id))
"""


async def bind_nics(db: Db, machine_ids: list[int]) -> None:
    """Binds each NIC to the host interface that it is attached to, and to that interface's VLAN. Idempotent.

    NICs on something that the host does not list are not changed.
    """
    if machine_ids:
        await db.execute(_BIND, machine_ids)
