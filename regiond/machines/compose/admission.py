"""Decides, under the locks of the groups, which machines may be on their chosen hosts."""

from __future__ import annotations

from collections.abc import Sequence

from regiond.db.pool import Db
from regiond.machines.affinity.store import groups_of, lock_groups, read_members, try_lock_groups
from regiond.machines.compose.model import HostAssignment, common_pools
from regiond.placement.model import GroupMembers
from regiond.placement.service import check_policies, group_standing


async def admit(db: Db, assignments: Sequence[HostAssignment], *, wait: bool) -> list[bool]:
    """Returns for each machine whether its groups permit its host, as if the machines before it were on their hosts.

    Locks the groups until the caller's transaction ends; the caller must not hold locks of servers yet. Without `wait`,
    machines of a group that another transaction has locked are not admitted. Queries nothing for machines without
    groups. Raises InvalidRequest for a group of the other policy.
    """
    groups = groups_of(rule for one in assignments for rule in one.requirements.groups)
    if not groups:
        return [True] * len(assignments)
    locked = frozenset(groups)
    if wait:
        await lock_groups(db, groups)
    else:
        locked = await try_lock_groups(db, groups)
    members = await read_members(db, locked, within=common_pools(one.requirements for one in assignments))
    admitted: list[bool] = []
    for one in assignments:
        rules = one.requirements.groups
        admits = locked.issuperset(groups_of(rules)) and _permits(one, members)
        if admits and rules:
            members = members.after(rules, one.host)
        admitted.append(admits)
    return admitted


async def permitted_alternatives(
    db: Db, machine_id: int, alternatives: Sequence[HostAssignment]
) -> list[HostAssignment]:
    """Returns the hosts that the machine's groups permit. Locks the groups as `admit` does; waits for the locks."""
    groups = groups_of(rule for one in alternatives[:1] for rule in one.requirements.groups)
    await lock_groups(db, groups)
    members = await read_members(db, groups, without=machine_id)
    return [one for one in alternatives if _permits(one, members)]


def _permits(one: HostAssignment, members: GroupMembers) -> bool:
    rules = one.requirements.groups
    check_policies(rules, members)
    return group_standing(rules, one.host, members).rejected is None
