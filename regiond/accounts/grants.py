"""Grants and revokes roles in resource pools; adds them to callers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from attrs import evolve

from common.errors import InvalidRequest
from regiond.accounts import grant_store, store
from regiond.accounts.model import Grant
from regiond.db.pool import Database, Db
from regiond.requests.caller import Caller, PoolRole
from regiond.requests.deletion_plan import AffectedRecord, DeletionPlan
from regiond.requests.validation_messages import no_object

DEFAULT_POOL_ID = 0


class RecordEvent(Protocol):
    """Records one event in the caller's transaction; wiring passes the function of `events`."""

    async def __call__(
        self,
        db: Db,
        kind: str,
        message: str,
        *,
        caller: Caller | None = None,
        system_id: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> object: ...


async def with_grants(db: Db, caller: Caller) -> Caller:
    """Returns the caller with its roles; an administrator needs none."""
    return caller if caller.is_admin else evolve(caller, grants=await grant_store.of_account(db, caller.account_id))


async def grant_default(db: Db, account_id: int) -> None:
    """Makes a new account an operator of the default pool, as clients of MAAS expect it. Idempotent."""
    await grant_store.grant(db, account_id, DEFAULT_POOL_ID, PoolRole.OPERATOR, None)


async def still_operators(db: Db, needed: Iterable[tuple[Caller, int]]) -> list[bool]:
    """Returns for each caller and pool whether the caller is an operator there now, until the transaction ends.

    A cached caller can be three seconds old. Queries nothing for administrators.
    """
    pairs = list(needed)
    checked = {(caller.account_id, pool_id) for caller, pool_id in pairs if not caller.is_admin}
    held = await grant_store.held(db, checked) if checked else frozenset()
    return [caller.is_admin or (caller.account_id, pool_id) in held for caller, pool_id in pairs]


class Grants:
    """`on_change` is called with the id of an account whose roles have changed, after the commit."""

    def __init__(
        self, database: Database, *, record_event: RecordEvent, on_change: Callable[[int], None] = lambda _: None
    ) -> None:
        self._database = database
        self._record_event = record_event
        self._on_change = on_change

    async def list(
        self, caller: Caller, *, pool_id: int | None = None, username: str | None = None
    ) -> tuple[Grant, ...]:
        """Returns the grants, for other callers than administrators only their own. Raises InvalidRequest."""
        async with self._database.connection() as db:
            account_id = None if caller.is_admin else caller.account_id
            if username is not None:
                user = await _user(db, username if caller.is_admin or username == caller.username else "")
                account_id = user.account_id
            return await grant_store.list_grants(db, pool_id=pool_id, account_id=account_id)

    async def grant(self, caller: Caller, pool_id: int, pool_name: str, username: str, role: PoolRole) -> Grant:
        """Grants the user this role in the pool instead of any other. Idempotent. Raises InvalidRequest."""
        caller.require_admin()
        async with self._database.transaction() as db:
            user = await _user(db, username)
            if await grant_store.grant(db, user.account_id, pool_id, role, caller.username):
                message = f"{username} became {role.value} of the resource pool {pool_name!r}."
                await self._record_event(db, "role_granted", message, caller=caller)
            (granted,) = await grant_store.list_grants(db, pool_id=pool_id, account_id=user.account_id)
        self._on_change(user.account_id)
        return granted

    async def revoke(
        self, caller: Caller, pool_id: int, pool_name: str, username: str, *, dry_run: bool = False
    ) -> DeletionPlan:
        """Revokes the user's role in the pool. Its machines stay its own. Idempotent. Raises InvalidRequest."""
        caller.require_admin()
        async with self._database.transaction(dry_run=dry_run) as db:
            user = await _user(db, username)
            if not await grant_store.revoke(db, user.account_id, pool_id):
                return DeletionPlan(name=username, effects=(f"{username} has no role in {pool_name!r}.",))
            message = f"{username} lost its role in the resource pool {pool_name!r}."
            await self._record_event(db, "role_revoked", message, caller=caller)
        self._on_change(user.account_id)
        record = AffectedRecord(kind="role", id=str(pool_id), name=f"{username} in {pool_name}")
        return DeletionPlan(
            name=username,
            deleted=(record,),
            effects=(f"{username} can neither see nor use what is in {pool_name!r}, except its own machines.",),
        )


async def _user(db: Db, username: str) -> Caller:
    found = await store.user(db, username) if username.isprintable() else None
    if found is None:
        raise InvalidRequest.of({"user": [no_object("user", username)]})
    return found
