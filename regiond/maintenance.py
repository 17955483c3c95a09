"""What an administrator does on the region's own machine, with its settings and without the API."""

from __future__ import annotations

from common.private_files import make_usable_folder
from regiond.accounts.service import Accounts
from regiond.db.migrate import migrate
from regiond.db.pool import Database
from regiond.installation import replace_authority
from regiond.ledger import store as ledger
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
    """What is wrong with the ledger, in words; empty when its totals are the sums of its claims."""
    database = await _open(settings)
    try:
        async with database.connection() as db:
            return await ledger.check(db)
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


async def _open(settings: RegionSettings) -> Database:
    dsn = settings.required_database
    await migrate(dsn)
    return await Database.open(dsn, application_name="innkeeper-maintenance", min_size=1, max_size=1)
