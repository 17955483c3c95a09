"""On which interface of its host each card of a machine is, where compose did not choose it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from regiond.db.pool import Db

# By name, and by kind where several have it. What a hypervisor calls its network is no interface of the server, while a
# card on a bridge may be on one that the hypervisor manages.
_PLACE = """
    update machine_nic n
       set interface_id = there.id, vlan_id = coalesce(there.vlan_id, n.vlan_id)
      from (select k.id as nic_id, i.id, i.vlan_id,
                   row_number() over (partition by k.id order by i.kind <> k.kind, i.kind = 'network', i.id) as place
              from machine m
              join machine_nic k on k.machine_id = m.id
              join host_interface i on i.host_id = m.host_id and i.missing_since is null and i.name = k.source
                   and (i.kind = k.kind or (k.kind <> 'network' and k.source <> ''))
             where m.id = any($1::integer[])) there
     where n.id = there.nic_id and there.place = 1
       and (n.interface_id, n.vlan_id) is distinct from (there.id, coalesce(there.vlan_id, n.vlan_id))
"""


async def place_cards(db: Db, machine_ids: list[int]) -> None:
    """Each card of these machines is on the interface of their host that it is attached to, and on the VLAN of that.

    Cards on what their host does not show stay as they are.
    """
    if machine_ids:
        await db.execute(_PLACE, machine_ids)
