"""Changes the groups of an existing machine: by an update, or when it is allocated."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from regiond.db.pool import Db
from regiond.machines.core.affinity import store as affinity_store
from regiond.machines.values.model import MachineView
from regiond.machines.values.requests import AllocateRequest, MachineChange
from regiond.placement.affinity import GroupMembers, GroupRule, Policy, check_policies, group_standing, parse_rules
from regiond.placement.candidate import Candidate


@frozen(kw_only=True)
class AffinityChange:
    """Replaces the groups of `replaced` policies by `rules`. Moves no machine."""

    rules: Sequence[GroupRule]
    replaced: frozenset[Policy]

    @property
    def changes(self) -> bool:
        return bool(self.replaced)

    async def lock(self, db: Db) -> None:
        """Locks the new groups. The caller must not hold the lock of a machine yet."""
        await affinity_store.lock_groups(db, affinity_store.groups_of(self.rules))

    async def apply(self, db: Db, machine: MachineView) -> None:
        """Changes the machine's groups. Idempotent. Raises InvalidRequest by field for a group of the other policy."""
        if not self.changes:
            return
        await affinity_store.remove(db, machine.id, self.replaced)
        members = await affinity_store.read_members(db, affinity_store.groups_of(self.rules))
        check_policies(self.rules, members.known_to(frozenset({machine.pool.id})))
        await affinity_store.add(db, [(machine.id, self.rules)])


def affinity_change(change: MachineChange) -> AffinityChange:
    """Returns the change of groups that `change` has. Raises InvalidRequest by field."""
    given = {Policy.AFFINITY: change.affinity, Policy.ANTI_AFFINITY: change.anti_affinity}
    rules = parse_rules(change.affinity or (), change.anti_affinity or ())
    replaced = frozenset(policy for policy, groups in given.items() if groups is not None)
    return AffinityChange(rules=rules, replaced=replaced)


@frozen(kw_only=True)
class ReadyMachine:
    """A ready machine and the host that it is on."""

    machine_id: int
    system_id: str
    host_id: int
    host_name: str
    server_id: int | None
    pool_id: int


async def ready_by_preference(
    db: Db, request: AllocateRequest, machines: Sequence[ReadyMachine], *, within: frozenset[int] | None
) -> Sequence[ReadyMachine]:
    """Returns the machines that may join the groups of `request`, those that violate fewer soft rules first.

    Preserves the order among equals. Raises InvalidRequest by field, which names machines in the pools `within` only.
    """
    rules = parse_rules(request.affinity, request.anti_affinity)
    if not rules:
        return machines
    found = await affinity_store.read_members(db, affinity_store.groups_of(rules), within=within)
    members = found.known_to(within)
    check_policies(rules, members)
    own = await affinity_store.rules_of(db, [one.machine_id for one in machines])
    standings = [
        (one, group_standing(rules, _host(one), _without(members, one, own.get(one.machine_id, ()))))
        for one in machines
    ]
    permitted = [(standing.conflicts, one) for one, standing in standings if standing.rejected is None]
    return [one for _, one in sorted(permitted, key=lambda pair: pair[0])]


async def join_by_allocation(
    db: Db, request: AllocateRequest, machine: MachineView, *, within: frozenset[int] | None
) -> bool:
    """Adds a ready machine to the groups of `request` until its release; returns whether they permit its host.

    Locks the groups until the caller's transaction ends; the caller must not hold the lock of a machine yet.
    """
    rules = parse_rules(request.affinity, request.anti_affinity)
    if not rules or machine.host_id is None:
        return not rules
    await affinity_store.lock_groups(db, affinity_store.groups_of(rules))
    ready = ReadyMachine(
        machine_id=machine.id, system_id=machine.system_id, host_id=machine.host_id, host_name=machine.host_name or "",
        server_id=await affinity_store.server_of(db, machine.host_id), pool_id=machine.pool.id,
    )  # fmt: skip
    if not await ready_by_preference(db, request, [ready], within=within):
        return False
    await affinity_store.add(db, [(machine.id, rules)], until_release=True)
    return True


def _without(members: GroupMembers, machine: ReadyMachine, own: Sequence[GroupRule]) -> GroupMembers:
    """Returns the members without the machine: a member does not conflict with itself."""
    for rule in own:
        members = members.without(rule.group, machine.host_id, machine.pool_id, hard=rule.hard)
    return members


def _host(machine: ReadyMachine) -> Candidate:
    return Candidate(
        id=machine.host_id, name=machine.host_name, server_id=machine.server_id, state="", reachable=True,
        architecture=None, cores=None, memory_mib=None,
    )  # fmt: skip
