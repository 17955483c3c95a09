"""Lists, creates, changes and deletes users; keeps at least one active administrator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

import structlog

from common.errors import InvalidRequest, NotFound, WrongState
from regiond.accounts import belonging_store, user_store
from regiond.accounts.belongings import (
    MACHINES,
    Belonging,
    Transfer,
    check_decided,
    check_no_file_twice,
    check_usable,
    deleted_text,
    plan_of,
    transferred_text,
)
from regiond.accounts.grants import RecordEvent, grant_default, still_operators
from regiond.accounts.model import NewUser, User, UserChange, check_email, check_username
from regiond.accounts.passwords import Passwords
from regiond.accounts.service import Accounts
from regiond.db.pool import Database, Db
from regiond.requests.caller import Caller
from regiond.requests.deletion_plan import DeletionPlan
from regiond.requests.validation_messages import no_object

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

FIRST_ADMINISTRATOR = "admin"
WithinQuota = Callable[[Db, int], AbstractAsyncContextManager[None]]


class Users:
    """`within_quota` locks the quota of an account, and raises QuotaExceeded if what the block wrote exceeds it."""

    def __init__(
        self,
        database: Database,
        accounts: Accounts,
        passwords: Passwords,
        *,
        record_event: RecordEvent,
        within_quota: WithinQuota,
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._passwords = passwords
        self._record_event = record_event
        self._within_quota = within_quota

    async def list(self, *, caller: Caller | None) -> tuple[User, ...]:
        """Returns all users by name; to an ordinary user only its own account. No caller: the region itself."""
        if caller is not None and not caller.is_admin:
            return (await self.read(caller.username, caller=caller),)
        async with self._database.connection() as db:
            return await user_store.list_users(db)

    async def read(self, username: str, *, caller: Caller | None) -> User:
        """Raises NotFound, for an ordinary user also if the account is another's. No caller: the region itself."""
        if caller is not None and not caller.is_admin and username != caller.username:
            raise _no_user(username)
        async with self._database.connection() as db:
            return await _user(db, username)

    async def create(self, caller: Caller, new: NewUser) -> User:
        """Creates a user, an operator of the default pool. Administrators only. Raises InvalidRequest by field."""
        caller.require_admin()
        check_username(new.username)
        check_email(new.email)
        hashed = await self._hashed(new.password, new.username)
        async with self._database.transaction() as db:
            account_id = await user_store.insert(db, new, hashed)
            if account_id is None:
                raise InvalidRequest.of({"username": [f"The user {new.username!r} exists already."]})
            await grant_default(db, account_id)
            kind = "administrator" if new.is_admin else "user"
            await self._record_event(db, "user_created", f"The {kind} {new.username!r} was created.", caller=caller)
            return await _user(db, new.username)

    async def create_administrator(self, username: str | None, password: str) -> str:
        """Creates an administrator for the person who runs a command on the region's computer; returns its name.

        Without a name it is `admin`, and only the first one. Raises WrongState if there is one or the name is taken,
        and InvalidRequest.
        """
        name = username or FIRST_ADMINISTRATOR
        check_username(name)
        hashed = await self._hashed(password, name)
        async with self._database.transaction() as db:
            await user_store.lock_accounts(db)
            existing = await user_store.first_administrator(db)
            if username is None and existing is not None:
                raise WrongState(
                    f"There is an administrator already: {existing}. Nothing was changed. To set its password: "
                    f"regiond password {existing}. To create another one: --username NAME"
                )
            new = NewUser(username=name, password=password, is_admin=True)
            if await user_store.insert(db, new, hashed) is None:
                raise WrongState(
                    f"There is a user {name!r} already; nothing was changed. Set its password: regiond password {name}"
                )
            message = f"The administrator {name!r} was created on the region's computer."
            await self._record_event(db, "user_created", message)
        log.info("administrator_created", username=name)
        return name

    async def update(self, caller: Caller, username: str, change: UserChange) -> User:
        """Administrators only. A new password or a deactivation ends the user's logins; other API keys stay.

        Raises NotFound, InvalidRequest, and WrongState if no active administrator would remain.
        """
        caller.require_admin()
        check_email(change.email or "")
        if username == caller.username and change.is_active is False:
            raise WrongState("You cannot deactivate your own account; another administrator can.")
        hashed = None if change.password is None else await self._hashed(change.password, username)

        async def work(db: Db) -> User:
            await user_store.lock(db, username)
            user = await _user(db, username)
            if change.is_admin is False or change.is_active is False:
                await _require_other_administrator(db, user, "demoted" if change.is_admin is False else "deactivated")
            await user_store.update(db, user.id, change, hashed)
            if hashed is not None or change.is_active is False:
                except_key = caller.api_key_id if user.id == caller.account_id else None
                await user_store.end_logins(db, user.id, except_key=except_key)
            changed = await _user(db, username)
            for kind, message in _changes(user, changed, has_new_password=hashed is not None):
                await self._record_event(db, kind, message, caller=caller)
            return changed

        changed = await self._database.in_transaction(work)
        self._accounts.forget_cached(changed.id)
        return changed

    async def belongings(self, caller: Caller, username: str) -> tuple[Belonging, ...]:
        """Returns what the user owns, for whoever has to say whose it becomes. Administrators only. Raises NotFound."""
        caller.require_admin()
        async with self._database.connection() as db:
            return (await belonging_store.belongings(db, (await _user(db, username)).id)).owned

    async def delete(
        self,
        caller: Caller,
        username: str,
        *,
        transfer_to: str | None = None,
        to_administrators: bool = False,
        dry_run: bool = False,
    ) -> DeletionPlan:
        """Deletes a user with all keys and certificates. What it owns goes to the user `transfer_to`, or is for
        administrators alone. Administrators only.

        Raises NotFound; InvalidRequest, which names what the user owns, if nobody is to have it or the new owner could
        not use it, and for the caller's own account; QuotaExceeded; WrongState if no active administrator would remain.
        """
        caller.require_admin()
        if username == caller.username:
            raise InvalidRequest("You cannot delete your own account; another administrator can.")
        transfer = Transfer(username=transfer_to or None, to_administrators=to_administrators)

        async def work(db: Db) -> tuple[int, DeletionPlan]:
            new_owner = await _read_new_owner(db, username, transfer.username)
            if new_owner is None:
                return await self._deleted(db, caller, username, transfer)
            async with self._within_quota(db, new_owner.id):  # its lock comes before that of the accounts
                return await self._deleted(db, caller, username, transfer)

        account_id, plan = await self._database.in_transaction(work, dry_run=dry_run)
        self._accounts.forget_cached(account_id)
        return plan

    async def _deleted(self, db: Db, caller: Caller, username: str, transfer: Transfer) -> tuple[int, DeletionPlan]:
        await user_store.lock(db, username, *([] if transfer.username is None else [transfer.username]))
        user = await _user(db, username)
        await _require_other_administrator(db, user, "deleted")
        new_owner = await _read_new_owner(db, username, transfer.username)  # again, locked: it may just have changed
        found = await belonging_store.belongings(db, user.id)
        check_decided(username, found.owned, transfer)
        if new_owner is not None:
            await _check_can_have(db, user, new_owner, found.owned)
            await belonging_store.transfer(db, user.id, new_owner.id)
        await user_store.delete(db, user.id)
        await self._record_deletion(db, caller, username, found.owned, transfer)
        return user.id, plan_of(username, found, transfer)

    async def _record_deletion(
        self, db: Db, caller: Caller, username: str, owned: Sequence[Belonging], transfer: Transfer
    ) -> None:
        for record in (one.record for one in owned if one.record.kind in MACHINES):
            message = transferred_text(record.name, username, transfer)
            await self._record_event(db, "machine_transferred", message, caller=caller, system_id=record.id)
        records = [{"kind": one.record.kind, "id": one.record.id, "name": one.record.name} for one in owned]
        await self._record_event(
            db, "user_deleted", deleted_text(username, owned, transfer), caller=caller,
            details={"owned": records, "new_owner": transfer.username} if owned else None,
        )  # fmt: skip

    async def _hashed(self, password: str, username: str) -> str:
        """Raises InvalidRequest for the field `password`."""
        self._passwords.check_new(password, field="password", username=username)
        return await self._passwords.hashed(password)


async def _user(db: Db, username: str) -> User:
    found = await user_store.read(db, username) if username.isprintable() else None
    if found is None:
        raise _no_user(username)
    return found


def _no_user(username: str) -> NotFound:
    return NotFound(f"There is no user {username!r}.")


async def _require_other_administrator(db: Db, user: User, verb: str) -> None:
    if user.is_admin and user.is_active and not await user_store.has_other_administrator(db, user.id):
        raise WrongState(f"{user.username!r} is the last active administrator and cannot be {verb}.")


async def _read_new_owner(db: Db, username: str, new_owner: str | None) -> User | None:
    """Raises InvalidRequest for the field `transfer_resources_to`."""
    if new_owner is None:
        return None
    found = await user_store.read(db, new_owner) if new_owner.isprintable() else None
    if found is None:
        others = [one.username for one in await user_store.list_users(db) if one.username != username]
        raise InvalidRequest.of({"transfer_resources_to": [no_object("user", new_owner, others)]})
    if new_owner == username:
        raise InvalidRequest.of({"transfer_resources_to": ["This is the user to be deleted; name another."]})
    if not found.is_active:
        raise InvalidRequest.of({"transfer_resources_to": [f"The user {new_owner!r} is deactivated; name another."]})
    return found


async def _check_can_have(db: Db, user: User, new_owner: User, owned: Sequence[Belonging]) -> None:
    """Raises InvalidRequest if the new owner could not use what the user owns, until the transaction ends."""
    if not new_owner.is_admin:
        pool_ids = sorted({one.pool_id for one in owned if one.pool_id is not None})
        caller = Caller(account_id=new_owner.id, username=new_owner.username, is_admin=False)
        held = await still_operators(db, [(caller, pool_id) for pool_id in pool_ids])
        check_usable(
            new_owner.username, owned, [pool_id for pool_id, is_held in zip(pool_ids, held, strict=True) if is_held]
        )
    check_no_file_twice(new_owner.username, await belonging_store.files_of_both(db, user.id, new_owner.id))


def _changes(before: User, after: User, *, has_new_password: bool) -> list[tuple[str, str]]:
    """Returns kind and message of each event."""
    name = after.username
    found = []
    if has_new_password:
        found.append(("password_set", f"The password of {name!r} was set; its logins ended."))
    if after.is_active != before.is_active:
        kind = "account_activated" if after.is_active else "account_deactivated"
        found.append((kind, f"The user {name!r} was {'activated' if after.is_active else 'deactivated'}."))
    if after.is_admin != before.is_admin:
        role = "became an administrator" if after.is_admin else "is no longer an administrator"
        found.append(("user_changed", f"The user {name!r} {role}."))
    if after.email != before.email:
        found.append(("user_changed", f"The email address of {name!r} was changed."))
    return found
