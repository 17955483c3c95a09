"""Commands of an administrator on the region's computer; they use its settings, not the API."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from common.errors import DatabaseUnavailable
from common.process.private_files import make_usable_folder
from common.trust.certificates import utc_now
from regiond.accounts.logins import Logins
from regiond.accounts.passwords import Passwords
from regiond.accounts.service import Accounts
from regiond.accounts.users import Users
from regiond.audit.service import Audit, local_request
from regiond.credentials.master_key import (
    CREDENTIAL,
    install_key,
    is_systemd_credential,
    open_key_file,
    open_master_key,
)
from regiond.credentials.rewrap import rewrap
from regiond.db.errors import READ_ONLY
from regiond.db.migrate import migrate
from regiond.db.pool import Database
from regiond.db.unfinished_restore import check_restored
from regiond.events.service import Events
from regiond.https.certificate_files import problems as certificate_problems
from regiond.ledger import consistency
from regiond.process.settings import RegionSettings
from regiond.quotas import service as quotas
from regiond.racks.enrolment.installation import replace_authority
from regiond.wiring.region import certificate_files


async def create_api_key(settings: RegionSettings, username: str, name: str) -> str:
    """Creates another API key for an account that has lost its first, and returns it. Raises NotFound."""
    database = await _open(settings)
    try:
        accounts = Accounts(database, record_event=Events.record)
        async with Audit(database).recorded(local_request("apikey", object_=f"users/{username}")):
            return await accounts.create_key(await accounts.user(username), name)
    finally:
        await database.close()


async def set_password(settings: RegionSettings, username: str, password: str) -> None:
    """Sets the password of an account and ends its logins. Raises NotFound and InvalidRequest."""
    database = await _open(settings)
    try:
        accounts = Accounts(database, record_event=Events.record)
        logins = Logins(database, accounts, _passwords(settings), record_event=Events.record)
        try:
            async with Audit(database).recorded(local_request("password", object_=f"users/{username}")):
                await logins.set_password(username, password)
        finally:
            await logins.stop()
    finally:
        await database.close()


async def create_administrator(settings: RegionSettings, username: str | None, password: str) -> str:
    """Creates the first administrator, `admin`, or one of that name; returns its name. Raises as `Users` does."""
    database = await _open(settings)
    try:
        accounts = Accounts(database, record_event=Events.record)
        passwords = _passwords(settings)
        users = Users(database, accounts, passwords, record_event=Events.record, within_quota=quotas.within)
        try:
            return await users.create_administrator(username, password)
        finally:
            await passwords.stop()
    finally:
        await database.close()


async def first_administrator(settings: RegionSettings) -> str | None:
    """Returns the name of the first active administrator; None without one."""
    database = await _open(settings)
    try:
        found = await Accounts(database, record_event=Events.record).first_administrator()
        return None if found is None else found.username
    finally:
        await database.close()


async def check(settings: RegionSettings) -> list[str]:
    """Returns the problems found: of the certificate, a read-only database, totals that differ from their claims, a
    broken audit trail.
    """
    files = certificate_files(settings)
    database = await _open(settings)
    try:
        wrong = [] if files is None else certificate_problems(files, utc_now)
        try:
            await database.check_writable()
        except DatabaseUnavailable as error:
            if error.details.get("reason") != READ_ONLY:
                raise
            wrong.append(error.message)
        async with database.connection() as db:
            wrong += await consistency.check(db)
        return [*wrong, *(await Audit(database).verify()).problems]
    finally:
        await database.close()


async def use_own_authority(settings: RegionSettings) -> str:
    """Makes the authority in this region's folder the installation's and returns its fingerprint.

    All racks and RPC clients have to join again.
    """
    make_usable_folder(settings.state)
    database = await _open(settings)
    try:
        async with Audit(database).recorded(local_request("replace-authority")), database.transaction() as db:
            return await replace_authority(db, settings.state)
    finally:
        await database.close()


async def rewrap_secrets(settings: RegionSettings, new_key_file: Path, environment: Mapping[str, str]) -> str:
    """Encrypts every secret with the key in `new_key_file`, created if it does not exist. Returns what was done.

    Then replaces the region's key file. After an interruption the same command continues.
    """
    old, new = open_master_key(settings.state, environment, create=False), open_key_file(new_key_file)
    database = await _open(settings)
    try:
        async with Audit(database).recorded(local_request("rewrap")), database.transaction() as db:
            found = await rewrap(db, old, new)
    finally:
        await database.close()
    message = f"Encrypted {found.done} secrets with the key {new.id.hex()}; {found.before} already used it."
    if is_systemd_credential(environment):
        return f"{message} Pass the key in {new_key_file} as systemd credential {CREDENTIAL} to every region."
    old_key_file = install_key(settings.state, new)
    return (
        f"{message} This region uses it now; copy it to every other region. {old_key_file} decrypts older backups of "
        "the database."
    )


def _passwords(settings: RegionSettings) -> Passwords:
    return Passwords(min_length=settings.password_min_length)


async def _open(settings: RegionSettings) -> Database:
    dsn = settings.required_database
    await check_restored(dsn, settings.state)
    await migrate(dsn)
    return await Database.open(dsn, application_name="innkeeper-maintenance", min_size=1, max_size=1)
