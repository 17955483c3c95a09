"""Who has an address, for messages: named only as far as the caller may know.

Each function returns a text such as `machine web-1`, or `another machine` for one that the caller may not see; without
a caller, the region's own messages name none, since others read them. None: nobody has the address.
"""

from __future__ import annotations

from regiond.db.pool import Db
from regiond.networks.model import Address
from regiond.requests.caller import Caller, visible_pool_ids

_CLAIMED = """
    select case when visible and m.id is null then 'device ' || d.hostname
                when visible then 'machine ' || coalesce(m.hostname || ' (its device ' || d.hostname || ')', m.hostname)
                when m.id is null then 'another device'
                else 'another machine' end
      from ip_address a
      left join machine m on m.id = a.machine_id
      left join device_nic n on n.id = a.device_nic_id
      left join device d on d.id = n.device_id,
           lateral (select $2::integer[] is null or m.pool_id = any($2) or coalesce(m.owner_id, d.owner_id) = $3
                           as visible) may
     where a.address = $1 and num_nonnulls(a.nic_id, a.device_nic_id) > 0
       and (m.id is null or m.id is distinct from $4)
"""
_KEPT = """
    select case when visible then 'machine ' || m.hostname else 'another machine' end
           || case when exists (select from machine_nic n
                                 where n.machine_id = m.id and (n.link_before ->> 'address')::inet = a.address)
                   then ', which has it again when it is released'
                   else ', whose VM host may still reserve it: its next deployment or release ends that' end
      from ip_address a
      join machine m on m.id = a.machine_id,
           lateral (select $2::integer[] is null or m.pool_id = any($2) or m.owner_id = $3 as visible) may
     where a.address = $1 and num_nonnulls(a.nic_id, a.device_nic_id) = 0 and m.id is distinct from $4
"""
_SEEN = """
    select case when visible then 'machine ' || m.hostname else 'another machine' end
      from seen_address s
      join machine_nic n on n.id = s.nic_id
      join machine m on m.id = n.machine_id and m.power_state in ('on', 'paused'),
           lateral (select $2::integer[] is null or m.pool_id = any($2) or m.owner_id = $3 as visible) may
     where s.address = $1 and m.id is distinct from $4
     order by m.id limit 1
"""
_HOST = """
    select case when visible then 'VM host ' || h.name else 'another VM host' end
      from host_interface_address a
      join host_interface i on i.id = a.interface_id and i.missing_since is null
      join vm_host h on h.id = i.host_id,
           lateral (select $2::integer[] is null or h.pool_id = any($2) as visible) may
     where a.address = $1
     order by visible desc, h.id limit 1
"""


async def claimed_by(
    db: Db, address: Address, *, caller: Caller | None, except_machine_id: int | None = None
) -> str | None:
    """Returns the machine or device that has a NIC which claims it."""
    holder: str | None = await db.fetchval(_CLAIMED, address, *_visible(caller), except_machine_id)
    return holder


async def kept_for(
    db: Db, address: Address, *, caller: Caller | None, except_machine_id: int | None = None
) -> str | None:
    """Returns the machine that keeps it without a NIC that has it, and the end of that time."""
    holder: str | None = await db.fetchval(_KEPT, address, *_visible(caller), except_machine_id)
    return holder


async def seen_with(
    db: Db, address: Address, *, caller: Caller | None, except_machine_id: int | None = None
) -> str | None:
    """Returns the machine whose guest has it."""
    holder: str | None = await db.fetchval(_SEEN, address, *_visible(caller), except_machine_id)
    return holder


async def host_with(db: Db, address: Address, *, caller: Caller | None) -> str | None:
    holder: str | None = await db.fetchval(_HOST, address, _visible(caller)[0])
    return holder


def _visible(caller: Caller | None) -> tuple[list[int] | None, int | None]:
    """The resource pools (None: all) and the account whose machines are named."""
    return ([], None) if caller is None else (visible_pool_ids(caller), caller.account_id)
