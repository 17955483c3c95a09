"""Claims of a machine on its chosen host, and whether roles, quotas and groups still permit them."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID, uuid4

from common.errors import NotAllowed
from common.guest_spec import GuestSpec, NicAddress
from regiond.accounts.service import still_operators
from regiond.caller import Caller
from regiond.db.pool import Database, Db
from regiond.identifiers import new_mac_address
from regiond.ledger import service as ledger
from regiond.ledger.model import Demand, DiscreteResources, pages_key
from regiond.machines.affinity.store import groups_of, lock_groups, read_members, try_lock_groups
from regiond.machines.compose import store
from regiond.machines.compose.model import HostAssignment, common_pools
from regiond.machines.guest_spec import guest_spec
from regiond.networks import service as network_service
from regiond.placement.model import DEFAULT_ROOT_BYTES, Evaluation, GroupMembers
from regiond.placement.service import check_policies, group_standing, required_functions
from regiond.quotas.model import Charge, Holdings
from regiond.quotas.service import permitted, refusal


def new_spec(assignment: HostAssignment, hostname: str, installation_id: UUID) -> GuestSpec:
    """Returns the guest's definition with a new UUID, and so with a marker that no guest has had."""
    return guest_spec(
        assignment.requirements, assignment.evaluation, assignment.host, hostname=hostname,
        installation_id=installation_id, machine_uuid=uuid4(), new_mac_address=new_mac_address,
        addresses=assignment.nic_addresses,
    )  # fmt: skip


async def nic_addresses(database: Database, evaluation: Evaluation) -> dict[str, NicAddress]:
    """Returns the settings of the subnet of each static address, by address. Raises WrongState without the subnet."""
    wanted = [(nic.subnet_id, nic.ip) for nic in evaluation.nics]
    if all(ip is None for _, ip in wanted):
        return {}
    async with database.connection() as db:
        return {
            ip: await network_service.guest_nic_address(db, subnet_id, ip)
            for subnet_id, ip in wanted
            if ip is not None and subnet_id is not None
        }


def demand_of(assignment: HostAssignment) -> Demand:
    """Returns the cores, general memory and storage of the server that the machine claims."""
    requirements = assignment.requirements
    storage_bytes: dict[int, int] = {}
    for disk in assignment.evaluation.disks:
        storage_bytes[disk.storage_pool_id] = storage_bytes.get(disk.storage_pool_id, 0) + disk.size_bytes
    memory_mib = 0 if requirements.huge_pages else requirements.memory_mib
    return Demand(
        host_id=assignment.host.id, cores=requirements.cores, memory_mib=memory_mib, storage_bytes=storage_bytes
    )


def discrete_claims_of(evaluation: Evaluation) -> DiscreteResources:
    """Returns the pinned cores, huge pages and virtual functions that the machine claims."""
    return DiscreteResources(
        pinned_core_ids=evaluation.pinned_core_ids,
        huge_pages={pages_key(pages.node_id, pages.size_kib): pages.pages for pages in evaluation.pages},
        functions=required_functions(evaluation.nics),
    )


async def claim_all(db: Db, machine_id: int, assignment: HostAssignment) -> None:
    """Makes all claims of the machine in the caller's transaction; the machine's rows exist already.

    Raises OutOfCapacity if something is no longer free, and WrongState if an address is taken; the transaction must
    then roll back.
    """
    discrete = discrete_claims_of(assignment.evaluation)
    await ledger.claim(db, machine_id=machine_id, demand=demand_of(assignment), discrete=discrete)
    await claim_addresses(db, machine_id, assignment.evaluation)


async def claim_addresses(db: Db, machine_id: int, evaluation: Evaluation) -> None:
    """Claims the static addresses of the machine's NICs. Raises WrongState if one is taken."""
    if any(nic.ip is not None for nic in evaluation.nics):
        nics = zip(await store.nic_ids(db, machine_id), evaluation.nics, strict=True)
        # One order for all transactions, so that no two of them deadlock.
        for nic_id, nic in sorted(nics, key=lambda pair: pair[1].ip or ""):
            if nic.ip is not None and nic.subnet_id is not None:
                await network_service.claim_static_address(
                    db, subnet_id=nic.subnet_id, address=nic.ip, machine_id=machine_id, nic_id=nic_id
                )


Compose = tuple[Caller, HostAssignment]


def pool_of(assignment: HostAssignment) -> int:
    """Returns the resource pool of the machine: the pool of its request, else the pool of its host."""
    requested = assignment.validated.pool_id
    return assignment.host.pool_id if requested is None else requested


def _charge(caller: Caller, assignment: HostAssignment) -> Charge:
    return Charge(account_id=caller.account_id, pool_id=pool_of(assignment), asked=holdings_asked(assignment))


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
        storage_bytes=sum(disk.size_bytes or DEFAULT_ROOT_BYTES for disk in wanted.disks),
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
    needed = [(caller, pool) for caller, one in composes for pool in (one.host.pool_id, pool_of(one))]
    operators = await still_operators(db, needed)
    allowed = [all(pair) for pair in zip(operators[::2], operators[1::2], strict=True)]
    if wait and not all(allowed):
        raise NotAllowed("Your role in the resource pool has just been revoked. Nothing was composed.")
    within = await permitted(db, [_charge(caller, one) for caller, one in composes], wait=wait)
    return [may and fits for may, fits in zip(allowed, within, strict=True)]


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
    rules = one.requirements.groups
    check_policies(rules, members)
    return group_standing(rules, one.host, members).rejected is None
