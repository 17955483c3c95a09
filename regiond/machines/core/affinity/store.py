"""SQL of affinity and anti-affinity groups: locks them, reads where their machines are, writes memberships."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

import asyncpg
from attrs import evolve

from regiond.db.pool import Db, of_row
from regiond.machines.core.affinity.model import GroupedMachine, memberships
from regiond.machines.values.model import AffinityMembership
from regiond.placement.affinity import GroupMembers, GroupOnHost, GroupRule, Policy
from regiond.requests.caller import Caller, seen_by

# A machine that joins a group holds this lock until its transaction ends, so that no two can join at once without
# seeing each other, on whichever hosts and in whichever regions. Taken before any lock of a server or a machine.
_LOCK = """
    select name, pg_advisory_xact_lock(hashtextextended('affinity group ' || name, 0)) from unnest($1::text[]) name
"""
_TRY_LOCK = """
    select name from unnest($1::text[]) name
     where pg_try_advisory_xact_lock(hashtextextended('affinity group ' || name, 0))
"""
# $3: the resource pools that the caller may use (NULL: all); machines and hosts in other pools are not named.
_MEMBERS = """
    with member as (
        select a.group_name, a.policy, a.machine_id, bool_or(a.hard) as hard
          from affinity_membership a
         where a.group_name = any($1::text[]) and a.machine_id is distinct from $2::integer
         group by a.group_name, a.policy, a.machine_id
    )
    select a.group_name as "group", a.policy, h.id as host_id, h.server_id, m.pool_id,
           case when $3::integer[] is null or h.pool_id = any($3) then h.name else 'a host of another pool' end
             as host_name,
           count(*) as machines, count(*) filter (where a.hard) as hard,
           coalesce((array_agg(m.hostname order by not a.hard, m.hostname)
                     filter (where $3 is null or m.pool_id = any($3)))[1:3], '{}') as names,
           array(select s.id from vm_host s where s.server_id = h.server_id) as sharing_host_ids
      from member a join machine m on m.id = a.machine_id join vm_host h on h.id = m.host_id
     group by a.group_name, a.policy, h.id, m.pool_id
"""
_MEMBERSHIPS = """
    select machine_id, group_name, policy, bool_or(hard) as hard from affinity_membership
     where machine_id = any($1::integer[]) group by machine_id, group_name, policy order by machine_id, group_name
"""
# All machines of every group that one of the given machines is in.
_GROUPED = """
    select a.machine_id, a.group_name as "group", a.policy, bool_or(a.hard) as hard, m.hostname, m.host_id, h.server_id,
           $2::integer[] is null or m.pool_id = any($2) or coalesce(m.owner_id = $3, false) as visible
      from affinity_membership a join machine m on m.id = a.machine_id left join vm_host h on h.id = m.host_id
     where a.group_name in (select group_name from affinity_membership where machine_id = any($1::integer[]))
     group by a.machine_id, a.group_name, a.policy, m.hostname, m.host_id, h.server_id, m.pool_id, m.owner_id
     order by a.group_name, m.hostname
"""
_ADD = """
    insert into affinity_membership as a (machine_id, group_name, until_release, policy, hard)
    select * from unnest($1::integer[], $2::text[], $3::boolean[], $4::text[], $5::boolean[])
    on conflict (machine_id, group_name, until_release) do update set hard = a.hard or excluded.hard
"""
_REMOVE = "delete from affinity_membership where machine_id = $1 and policy = any($2::text[])"
_SERVER = "select server_id from vm_host where id = $1"
_END_ALLOCATION = "delete from affinity_membership where machine_id = $1 and until_release"


def groups_of(rules: Iterable[GroupRule]) -> list[str]:
    """Returns the names of the groups, in the order in which every transaction locks them."""
    return sorted({rule.group for rule in rules})


async def lock_groups(db: Db, groups: Collection[str]) -> None:
    """Locks the groups against other machines that join, until the caller's transaction ends. Waits for them.

    The caller must not hold a lock of a server or machine yet.
    """
    if groups:
        await db.execute(_LOCK, sorted(groups))


async def try_lock_groups(db: Db, groups: Collection[str]) -> frozenset[str]:
    """Locks as `lock_groups` does, without waiting; returns the groups that are locked now."""
    if not groups:
        return frozenset()
    return frozenset(row["name"] for row in await db.fetch(_TRY_LOCK, sorted(groups)))


async def read_members(
    db: Db, groups: Collection[str], *, without: int | None = None, within: frozenset[int] | None = None
) -> GroupMembers:
    """Returns the places of the machines of the groups, by one query; none for no groups. Omits the machine `without`.

    Names only machines and hosts in the resource pools `within` (None: all), because the names appear in reasons. A
    request counts those that are `known_to` it.
    """
    if not groups:
        return GroupMembers()
    pool_ids = None if within is None else sorted(within)
    rows = await db.fetch(_MEMBERS, sorted(groups), without, pool_ids)
    return GroupMembers(tuple(_on_host(row) for row in rows))


async def rules_of(db: Db, machine_ids: Collection[int]) -> Mapping[int, Sequence[GroupRule]]:
    """Returns the memberships of the machines that have any."""
    found = defaultdict(list)
    for row in await db.fetch(_MEMBERSHIPS, list(machine_ids)) if machine_ids else ():
        rule = GroupRule(group=row["group_name"], policy=Policy(row["policy"]), hard=row["hard"])
        found[row["machine_id"]].append(rule)
    return found


async def memberships_of(
    db: Db, machine_ids: Collection[int], *, caller: Caller | None = None
) -> Mapping[int, tuple[AffinityMembership, ...]]:
    """Returns the memberships of the machines that have any, each with the machines that violate it now.

    Machines that the caller may not see are not named.
    """
    if not machine_ids:
        return {}
    rows = await db.fetch(_GROUPED, list(machine_ids), *seen_by(caller))
    hidden = {row["hostname"] for row in rows if not row["visible"]}
    grouped = [of_row(GroupedMachine, row, policy=Policy(row["policy"])) for row in rows]
    found = memberships(grouped, {*machine_ids})
    return {machine_id: tuple(_without(one, hidden) for one in own) for machine_id, own in found.items()}


def _without(membership: AffinityMembership, hidden: Collection[str]) -> AffinityMembership:
    return evolve(membership, violated_by=tuple(name for name in membership.violated_by if name not in hidden))


async def add(db: Db, machines: Iterable[tuple[int, Iterable[GroupRule]]], *, until_release: bool = False) -> None:
    """Adds machines to groups. The caller holds the locks of the groups and has checked the rules. Idempotent."""
    rows = [
        (machine_id, rule.group, until_release, rule.policy.value, rule.hard)
        for machine_id, rules in machines
        for rule in rules
    ]
    if rows:
        await db.execute(_ADD, *(list(column) for column in zip(*rows, strict=True)))


async def remove(db: Db, machine_id: int, policies: Collection[Policy]) -> None:
    """Removes the machine from its groups of these policies. Idempotent."""
    await db.execute(_REMOVE, machine_id, [policy.value for policy in policies])


async def server_of(db: Db, host_id: int) -> int | None:
    server_id: int | None = await db.fetchval(_SERVER, host_id)
    return server_id


async def end_allocation(db: Db, machine_id: int) -> None:
    """Removes the machine from the groups that its allocation added it to. Idempotent."""
    await db.execute(_END_ALLOCATION, machine_id)


def _on_host(row: asyncpg.Record) -> GroupOnHost:
    lists = {name: tuple(row[name]) for name in ("names", "sharing_host_ids")}
    return GroupOnHost(**{**dict(row), **lists, "policy": Policy(row["policy"])})
