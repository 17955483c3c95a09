"""Checks charges against quotas in the caller's transaction; administrators set quotas.

Quotas are locked before affinity groups, hosts, servers and machines, and in the order of their ids: whoever holds a
lock of those never waits for a quota. Without a quota that concerns it, nothing is locked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

import asyncpg
from attrs import evolve

from common.errors import InvalidRequest, NameTaken, QuotaExceeded
from regiond.db.pool import Database, Db, reading
from regiond.events.service import Events
from regiond.groups.service import Groups
from regiond.quotas import store
from regiond.quotas.model import Charge, Holdings, Limits, Quota, refusals
from regiond.requests.caller import Caller
from regiond.requests.deletion_plan import AffectedRecord, DeletionPlan
from regiond.requests.validation_messages import existing, no_object


async def permitted(db: Db, charges: Sequence[Charge], *, wait: bool) -> list[bool]:
    """Returns for each charge whether the quotas permit it, as if those before it were held.

    Locks the quotas until the transaction ends: what is permitted must be written in it. Without `wait`, charges are
    not permitted whose quota another transaction has locked. With it, raises QuotaExceeded if one is not permitted.
    """
    concerned = await _concerned(db, charges)
    if not concerned:
        return [True] * len(charges)
    quotas = await store.lock(db, concerned, wait=wait)
    if len(quotas) < len(concerned) and not wait:
        return [False] * len(charges)
    reasons = refusals(quotas, charges)
    if wait:
        _raise_first(reasons)
    return [reason is None for reason in reasons]


async def refusal(db: Db, charges: Sequence[Charge]) -> str | None:
    """Returns the message with which `permitted` would refuse the first charge that it refuses. Locks nothing."""
    return next(filter(None, await refusals_now(db, charges)), None)


async def refusals_now(db: Db, charges: Sequence[Charge]) -> list[str | None]:
    """Returns for each charge the message with which `permitted` would refuse it; None: it fits. Locks nothing."""
    concerned = await _concerned(db, charges)
    quotas = await store.read_several(db, concerned) if concerned else ()
    return [None if reason is None else _message(reason) for reason in refusals(quotas, charges)]


async def charge_machine(db: Db, machine_id: int, *, account_id: int | None = None, pool_id: int | None = None) -> None:
    """Locks the quotas of the account and pool that come to hold the machine until the transaction ends.

    Raises QuotaExceeded if they do not permit it. Without a quota, nothing more is read.
    """
    charge = Charge(account_id=account_id, pool_id=pool_id, asked=Holdings())
    if await _concerned(db, [charge]):
        await permitted(db, [evolve(charge, asked=await store.holdings_of(db, machine_id))], wait=True)


async def lock(db: Db, *, account_ids: Iterable[int] = (), pool_ids: Iterable[int] = ()) -> tuple[Quota, ...]:
    """Locks the quotas of these accounts and pools, for writes whose amount is not known yet: see `require_within`."""
    concerned = await store.concerned(db, account_ids, pool_ids)
    return await store.lock(db, concerned, wait=True) if concerned else ()


async def require_within(db: Db, locked: Iterable[Quota]) -> None:
    """Raises QuotaExceeded if what the transaction has written since `lock` exceeds one of the quotas."""
    before = list(locked)
    after = await store.usage(db, [quota.id for quota in before]) if before else {}
    _raise_first(quota.refusal(quota.used, after[quota.id] - quota.used) for quota in before)


@asynccontextmanager
async def within(db: Db, account_id: int) -> AsyncIterator[None]:
    """Raises QuotaExceeded at the end of the block if what it has written exceeds the account's quota.

    Locks the quota first, until the transaction ends.
    """
    locked = await lock(db, account_ids=[account_id])
    yield
    await require_within(db, locked)


async def _concerned(db: Db, charges: Iterable[Charge]) -> frozenset[int]:
    account_ids = {charge.account_id for charge in charges if charge.account_id is not None}
    pool_ids = {charge.pool_id for charge in charges if charge.pool_id is not None}
    return await store.concerned(db, account_ids, pool_ids) if account_ids or pool_ids else frozenset()


def _raise_first(reasons: Iterable[str | None]) -> None:
    reason = next(filter(None, reasons), None)
    if reason is not None:
        raise QuotaExceeded(_message(reason))


def _message(reason: str) -> str:
    return f"{reason}. Release or delete machines, or ask an administrator to raise the quota."


async def _find(db: Db, quota_id: int, *, caller: Caller | None = None) -> Quota:
    """Raises NotFound, also for a quota that the caller may not see."""
    return existing(next(iter(await store.list_quotas(db, quota_id, caller=caller)), None), "quota", quota_id)


class Quotas:
    """Administrators set quotas; others read their own and those of resource pools that they see."""

    def __init__(self, database: Database, groups: Groups) -> None:
        self._database = database
        self._groups = groups

    list = reading(store.list_quotas)
    read = reading(_find)

    async def create(
        self, caller: Caller, *, user: str | None, pool: str | None, limits: Mapping[str, int | None]
    ) -> Quota:
        """Sets the quota of a user or of a resource pool. It may be lower than what is held: nothing is taken away.

        Raises InvalidRequest, and NameTaken if there is one.
        """
        caller.require_admin()
        if (user is None) == (pool is None):
            raise InvalidRequest.of({"user": ["Name either a user or a resource pool."]})
        pool_id = await self._groups.requested_pool_id(pool)
        async with self._database.transaction() as db:
            account_id = None if user is None else await _account_id(db, user)
            try:
                quota_id = await store.insert(
                    db, account_id=account_id, pool_id=pool_id, limits=Limits().changed(limits)
                )
            except asyncpg.UniqueViolationError as error:
                raise NameTaken(f"There is a quota of {user or pool} already: update it.") from error
            created = await _find(db, quota_id)
            await Events.record(db, "quota_set", f"The quota of {created.subject} was set.", caller=caller)
        return created

    async def update(self, caller: Caller, quota_id: int, limits: Mapping[str, int | None]) -> Quota:
        """Changes the limits that the mapping has. Idempotent. Raises NotFound."""
        caller.require_admin()
        async with self._database.transaction() as db:
            found = await _find(db, quota_id)
            await store.update(db, quota_id, found.limits.changed(limits))
            await Events.record(db, "quota_set", f"The quota of {found.subject} was changed.", caller=caller)
            return await _find(db, quota_id)

    async def delete(self, caller: Caller, quota_id: int, *, dry_run: bool = False) -> DeletionPlan:
        """Raises NotFound."""
        caller.require_admin()
        async with self._database.transaction(dry_run=dry_run) as db:
            found = await _find(db, quota_id)
            await store.delete(db, quota_id)
            await Events.record(db, "quota_deleted", f"The quota of {found.subject} was deleted.", caller=caller)
        record = AffectedRecord(kind="quota", id=str(quota_id), name=found.subject)
        return DeletionPlan(name=found.subject, deleted=(record,))


async def _account_id(db: Db, username: str) -> int:
    found = await store.account_id_of(db, username) if username.isprintable() else None
    if found is None:
        raise InvalidRequest.of({"user": [no_object("user", username)]})
    return found
