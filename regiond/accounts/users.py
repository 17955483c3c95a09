"""Lists, creates, changes and deletes users; keeps at least one active administrator."""

from __future__ import annotations

import structlog

from common.errors import InvalidRequest, NotFound, WrongState
from common.phrases import first_of, number_of
from regiond.accounts import user_store
from regiond.accounts.grants import grant_default
from regiond.accounts.model import NewUser, User, UserChange, check_email, check_username
from regiond.accounts.passwords import Passwords
from regiond.accounts.service import Accounts, RecordEvent
from regiond.accounts.user_store import Belongings
from regiond.caller import Caller
from regiond.db.pool import Database, Db
from regiond.deletion_plan import AffectedRecord, DeletionPlan
from regiond.validation_messages import no_object

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

FIRST_ADMINISTRATOR = "admin"
_MAX_NAMED = 5


class Users:
    def __init__(
        self, database: Database, accounts: Accounts, passwords: Passwords, *, record_event: RecordEvent
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._passwords = passwords
        self._record_event = record_event

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
        hashed = await self._hashed(new.password)
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
        hashed = await self._hashed(password)
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
        hashed = None if change.password is None else await self._hashed(change.password)

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

    async def delete(
        self, caller: Caller, username: str, *, transfer_to: str | None = None, dry_run: bool = False
    ) -> DeletionPlan:
        """Deletes a user with all keys and certificates; machines go to the user `transfer_to`. Administrators only.

        Raises NotFound, InvalidRequest if the user owns machines and `transfer_to` names nobody else, or for the
        caller's own account; WrongState if no active administrator would remain.
        """
        caller.require_admin()
        if username == caller.username:
            raise InvalidRequest("You cannot delete your own account; another administrator can.")

        async def work(db: Db) -> tuple[int, DeletionPlan]:
            await user_store.lock(db, username, *([] if transfer_to is None else [transfer_to]))
            user = await _user(db, username)
            await _require_other_administrator(db, user, "deleted")
            target = await _transfer_target(db, user, transfer_to)
            found = await user_store.belongings(db, user.id)
            if found.owned:
                if target is None:
                    raise InvalidRequest(_owns(user, found.owned))
                await user_store.transfer(db, user.id, target.id)
            await user_store.delete(db, user.id)
            count = number_of(len(found.owned), "machine")
            moved = f"; {count} went to {target.username!r}" if target and found.owned else ""
            await self._record_event(db, "user_deleted", f"The user {username!r} was deleted{moved}.", caller=caller)
            return user.id, _plan(user, found, target)

        account_id, plan = await self._database.in_transaction(work, dry_run=dry_run)
        self._accounts.forget_cached(account_id)
        return plan

    async def _hashed(self, password: str) -> str:
        """Raises InvalidRequest for the field `password`."""
        self._passwords.check_new(password, field="password")
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


async def _transfer_target(db: Db, user: User, username: str | None) -> User | None:
    """Raises InvalidRequest for the field `transfer_resources_to`."""
    if not username:
        return None
    target = await user_store.read(db, username) if username.isprintable() else None
    if target is None:
        others = [one.username for one in await user_store.list_users(db) if one.id != user.id]
        raise InvalidRequest.of({"transfer_resources_to": [no_object("user", username, others)]})
    if target.id == user.id:
        raise InvalidRequest.of({"transfer_resources_to": ["This is the user to be deleted; name another."]})
    if not target.is_active:
        raise InvalidRequest.of({"transfer_resources_to": [f"The user {username!r} is deactivated; name another."]})
    return target


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


def _plan(user: User, found: Belongings, target: User | None) -> DeletionPlan:
    effects = ["Requests with these credentials are rejected from then on, and open RPC links end."]
    if target is not None and found.owned:
        effects.append(f"{target.username} becomes the owner of {number_of(len(found.owned), 'machine')}.")
    deleted = AffectedRecord(kind="user", id=user.username, name=user.username)
    return DeletionPlan(
        name=user.username, deleted=(deleted, *found.credentials), kept=found.owned, effects=tuple(effects)
    )


def _owns(user: User, owned: tuple[AffectedRecord, ...]) -> str:
    names = first_of([one.name for one in owned], _MAX_NAMED)
    return (
        f"The user {user.username!r} cannot be deleted: it owns {number_of(len(owned), 'machine')} ({names}). "
        "Name the new owner with transfer_resources_to=USER, or release them first."
    )
