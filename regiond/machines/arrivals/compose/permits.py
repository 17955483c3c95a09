"""Whether roles, quotas, groups and sources of copies permit machines, in the transaction that writes them."""

from __future__ import annotations

from collections.abc import Sequence

from common.errors import Busy, NotAllowed
from common.words.operation_kinds import OperationKind
from regiond.accounts.grants import still_operators
from regiond.db.pool import Db
from regiond.machines.arrivals.compose.model import CopyPlan, HostAssignment, common_pools
from regiond.machines.core import lifecycle_store, view_store
from regiond.machines.core.affinity.store import groups_of, lock_groups, read_members, try_lock_groups
from regiond.operations import store as operation_store
from regiond.operations.model import ActingOperation, busy
from regiond.placement.affinity import GroupMembers, check_policies, group_standing
from regiond.quotas.model import Charge, Holdings
from regiond.quotas.service import permitted, refusal
from regiond.requests.caller import Caller

Compose = tuple[Caller, HostAssignment]


def pool_of(assignment: HostAssignment) -> int:
    """Returns the resource pool of the machine: the pool of its request, else the pool of its host."""
    requested = assignment.validated.pool_id
    return assignment.host.pool_id if requested is None else requested


def _charge(caller: Caller, assignment: HostAssignment) -> Charge:
    holder = assignment.validated.owner or caller
    return Charge(account_id=holder.account_id, pool_id=pool_of(assignment), asked=holdings_asked(assignment))


async def quota_refusal(db: Db, caller: Caller, assignments: Sequence[HostAssignment]) -> str | None:
    """Returns why a quota would refuse the first of the machines that it refuses; None if all fit. Locks nothing."""
    return await refusal(db, [_charge(caller, one) for one in assignments])


def holdings_asked(assignment: HostAssignment) -> Holdings:
    """Returns the resources that the machine will hold."""
    wanted = assignment.requirements
    return Holdings(
        machines=1,
        cores=wanted.cores,
        memory_mib=wanted.memory_mib,
        storage_bytes=sum(disk.size_bytes for disk in assignment.evaluation.disks),  # as large as the host makes them
    )


async def within_pool_quotas(
    db: Db, machine_pool_id: int, alternatives: Sequence[HostAssignment]
) -> list[HostAssignment]:
    """Returns the hosts to which a machine may move: hosts that leave it in its pool, or whose pool has room for it.

    Never waits, because the caller's transaction may hold locks of servers already: hosts of a pool whose quota is
    locked are left out.
    """
    fitting = []
    for one in alternatives:
        pool_id = pool_of(one)
        charge = Charge(pool_id=None if pool_id == machine_pool_id else pool_id, asked=holdings_asked(one))
        if await permitted(db, [charge], wait=False) == [True]:
            fitting.append(one)
    return fitting


async def permit(db: Db, composes: Sequence[Compose], *, wait: bool) -> list[bool]:
    """Returns for each compose whether it may be written, as if the permitted ones before it were written.

    Call it before other locks are taken. Without `wait`, a compose whose quota is locked is not permitted; with `wait`,
    raises NotAllowed or QuotaExceeded for the first that is not permitted.
    """
    needed = [
        pair
        for caller, one in composes
        for pair in (
            (caller, one.host.pool_id),
            (caller, pool_of(one)),
            (one.validated.owner or caller, pool_of(one)),
        )
    ]
    operators = await still_operators(db, needed)
    allowed = [all(three) for three in zip(operators[::3], operators[1::3], operators[2::3], strict=True)]
    if wait and not all(allowed):
        raise NotAllowed(_no_operator(*composes[allowed.index(False)]))
    within = await permitted(db, [_charge(caller, one) for caller, one in composes], wait=wait)
    return [may and fits for may, fits in zip(allowed, within, strict=True)]


def _no_operator(caller: Caller, one: HostAssignment) -> str:
    owner = one.validated.owner or caller
    if owner.account_id == caller.account_id:
        return "Your role in the resource pool has just been revoked. Nothing was composed."
    return (
        f"You or {owner.username} are no operator of the machine's resource pool. Nothing was composed. To grant the "
        f"role: innkeeper resource-pool grant {pool_of(one)} user={owner.username} role=operator"
    )


async def admit(db: Db, assignments: Sequence[HostAssignment], *, wait: bool) -> list[bool]:
    """Returns for each machine whether its groups permit its host, as if the machines before it were on their hosts.

    Locks the groups until the caller's transaction ends; the caller must not hold locks of servers yet. Without `wait`,
    machines of a group that another transaction has locked are not admitted. Queries nothing for machines without
    groups. Raises InvalidRequest for a group of the other policy.
    """
    if not any(one.requirements.groups for one in assignments):
        return [True] * len(assignments)
    groups = groups_of(rule for one in assignments for rule in one.requirements.groups)
    locked = frozenset(groups)
    if wait:
        await lock_groups(db, groups)
    else:
        locked = await try_lock_groups(db, groups)
    members = await read_members(db, locked, within=common_pools(one.requirements for one in assignments))
    admitted: list[bool] = []
    for one in assignments:
        rules = one.requirements.groups
        admits = locked.issuperset(groups_of(rules)) and _groups_permit(one, members)
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
    return [one for one in alternatives if _groups_permit(one, members)]


def _groups_permit(one: HostAssignment, members: GroupMembers) -> bool:
    rules, known = one.requirements.groups, members.known_to(one.requirements.hosts.within_pool_ids)
    check_policies(rules, known)
    return group_standing(rules, one.host, known).rejected is None


async def hold_sources(db: Db, copies: Sequence[CopyPlan]) -> None:
    """Returns when no operation acts on the sources, which stay as they are until the transaction ends.

    The caller holds the locks of their servers, and opens the operations that copy them. Several may copy one source.
    Raises Busy for a source on which an operation is open, or that has changed since it was read.
    """
    for one in sorted(copies, key=lambda copy: copy.source.id):
        source = one.source
        await lifecycle_store.lock_one(db, source.id)
        acting = await operation_store.active(db, OperationKind.COMPOSE, machine_id=source.id)
        if acting is not None:
            of_source = ActingOperation(id=acting.id, kind=acting.kind.value, created_at=acting.created_at)
            raise busy(f"machine {source.hostname}", of_source)
        now = await view_store.read(db, source.system_id)
        facts = ((one.state, one.power_state, one.owner, one.disks, one.host_id) for one in (source, now))
        if len(set(facts)) > 1:
            raise Busy(f"{source.hostname} has just been changed. Try again.")
