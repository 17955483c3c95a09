"""Brings users from another installation, with their password, SSH keys and API keys."""

from __future__ import annotations

from collections.abc import Sequence

from common.errors import InvalidRequest
from regiond.accounts import grant_store, ssh_key_store, store, user_store
from regiond.accounts.grants import RecordEvent, grant_default
from regiond.accounts.model import ApiKey, ImportedUser, NewUser, check_email, check_username
from regiond.accounts.passwords import is_foreign_hash
from regiond.accounts.ssh_keys import MAX_SSH_KEYS
from regiond.accounts.ssh_public_key import parse_public_key
from regiond.db.pool import Database, Db
from regiond.requests.caller import Caller, PoolRole

KEY_NAME = "from MAAS"


class UserImports:
    def __init__(self, database: Database, *, record_event: RecordEvent) -> None:
        self._database = database
        self._record_event = record_event

    async def bring(
        self, caller: Caller, user: ImportedUser, *, is_new: bool, operator_of: Sequence[int] = ()
    ) -> tuple[str, ...]:
        """Creates the user, an operator of these pools; or adds the keys to the user of that name, who stays as it is.

        Returns in sentences what could not be brought. Raises NotAllowed and InvalidRequest by field, also if a new
        user exists by now.
        """
        caller.require_admin()
        check_username(user.username)
        check_email(user.email)
        new = NewUser(username=user.username, email=user.email, password="", is_admin=user.is_admin)
        password_hash = user.password_hash if is_foreign_hash(user.password_hash) else None

        async def work(db: Db) -> tuple[str, ...]:
            account_id = await user_store.insert(db, new, password_hash)
            if account_id is not None:
                await grant_default(db, account_id)
                for pool_id in operator_of:
                    await grant_store.grant(db, account_id, pool_id, PoolRole.OPERATOR, caller.username)
                kind = "administrator" if user.is_admin else "user"
                message = f"The {kind} {user.username!r} came from MAAS."
                await self._record_event(db, "user_created", message, caller=caller)
            elif is_new:
                message = f"There is a user {user.username!r} by now. Make a new plan, and say whether it is the same."
                raise InvalidRequest.of({"username": [message]})
            found = await user_store.read(db, user.username)
            if found is None:
                raise InvalidRequest.of({"username": [f"The user {user.username!r} was just deleted; try again."]})
            problems = await _add_ssh_keys(db, found.id, user.ssh_keys)
            added = await _add_api_keys(db, found.id, user.api_keys)
            if added:
                message = f"{added} API keys of {user.username!r} came from MAAS and stay valid."
                await self._record_event(db, "api_key_created", message, caller=caller)
            return problems

        return await self._database.in_transaction(work)


async def _add_ssh_keys(db: Db, account_id: int, keys: Sequence[str]) -> tuple[str, ...]:
    problems = []
    count = await ssh_key_store.count(db, account_id)
    for text in keys:
        try:
            key = parse_public_key(text)
        except InvalidRequest as error:
            problems.append(f"An SSH key was left out: {' '.join(error.texts)}")
            continue
        if count >= MAX_SSH_KEYS:
            problems.append(f"A user has at most {MAX_SSH_KEYS} SSH keys: {key.fingerprint} was left out.")
            continue
        count += await ssh_key_store.insert(db, account_id, key) is not None
    return tuple(problems)


async def _add_api_keys(db: Db, account_id: int, keys: Sequence[ApiKey]) -> int:
    """Returns how many keys are new. Their secrets are stored as those of keys that are made here: hashed."""
    added = 0
    for key in keys:
        if await store.owner_of_key(db, key.consumer_key, key.token_key) is None:
            await store.insert_key(
                db, account_id, KEY_NAME, key, sealed=None, by_login=False, lifetime=None, expires_by=None
            )
            added += 1
    return added
