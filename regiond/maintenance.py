"""What an administrator does on the region's own machine, with its settings and without the API."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from common.errors import DatabaseUnavailable
from common.private_files import make_usable_folder
from regiond.accounts.service import Accounts
from regiond.credentials.master_key import CREDENTIAL, install_key, is_handed_over, open_key_file, open_master_key
from regiond.credentials.rewrap import rewrap
from regiond.db.errors import READ_ONLY
from regiond.db.migrate import migrate
from regiond.db.pool import Database
from regiond.installation import replace_authority
from regiond.ledger import check as ledger
from regiond.settings import RegionSettings


async def make_key(settings: RegionSettings, username: str, name: str) -> str:
    """A further API key for an account: the way back in when the first was lost. Raises NotFound."""
    database = await _open(settings)
    try:
        accounts = Accounts(database)
        return await accounts.create_key(await accounts.user(username), name)
    finally:
        await database.close()


async def check(settings: RegionSettings) -> list[str]:
    """What is wrong, in words: a database that takes no writes, totals that are not the sums of their claims."""
    database = await _open(settings)
    try:
        wrong = []
        try:
            await database.check_writable()
        except DatabaseUnavailable as error:
            if error.details.get("reason") != READ_ONLY:
                raise
            wrong.append(error.message)
        async with database.connection() as db:
            return wrong + await ledger.check(db)
    finally:
        await database.close()


async def use_own_authority(settings: RegionSettings) -> str:
    """The authority in this region's folder becomes the installation's; its fingerprint. Racks have to join again."""
    make_usable_folder(settings.state)
    database = await _open(settings)
    try:
        async with database.transaction() as db:
            return await replace_authority(db, settings.state)
    finally:
        await database.close()


async def rewrap_secrets(settings: RegionSettings, new_key_file: Path, environment: Mapping[str, str]) -> str:
    """Seal every secret with the key in `new_key_file`, which is made when it is not there; what was done, in words.

    The region's own key file is replaced after that; stopped in between, the same command goes on.
    """
    old, new = open_master_key(settings.state, environment), open_key_file(new_key_file)
    database = await _open(settings)
    try:
        async with database.transaction() as db:
            found = await rewrap(db, old, new)
    finally:
        await database.close()
    told = f"{found.done} secrets were sealed with the key {new.id.hex()}; {found.before} were already."
    if is_handed_over(environment):
        return f"{told} Give systemd the key in {new_key_file} as {CREDENTIAL}, on every machine of a region."
    kept = install_key(settings.state, new)
    return (
        f"{told} It is this region's key now; give it to every other region. {kept} opens backups of the database "
        "made before."
    )


async def _open(settings: RegionSettings) -> Database:
    dsn = settings.required_database
    await migrate(dsn)
    return await Database.open(dsn, application_name="innkeeper-maintenance", min_size=1, max_size=1)
