"""The account `admin` of a test's database, with an API key and without a password, whose hash would take time."""

from __future__ import annotations

from pathlib import Path

from common.process.private_files import write_private
from regiond.accounts.service import Accounts
from regiond.db.pool import Database
from regiond.events.service import Events
from regiond.requests.caller import Caller

API_KEY_FILE = "admin.apikey"  # in the state folder of a test's region
_INSERT = "insert into account (username, is_admin) values ('admin', true) on conflict do nothing returning id"


async def add_administrator(database: Database) -> str | None:
    """Returns the text of its key; None if there is an account `admin` already."""
    async with database.connection() as db:
        if await db.fetchval(_INSERT) is None:
            return None
    accounts = Accounts(database, record_event=Events.record)
    return await accounts.create_key(await accounts.user("admin"), "first start")


async def first_administrator(database: Database) -> Caller:
    """Returns the administrator `admin`, added if there is none."""
    await add_administrator(database)
    async with database.connection() as db:
        account_id = await db.fetchval("select id from account where username = 'admin'")
    return Caller(account_id=account_id, username="admin", is_admin=True)


async def write_first_key(database: Database, state: Path) -> None:
    """Writes the key of a new account `admin` to the region's state folder."""
    text = await add_administrator(database)
    if text is not None:
        write_private(state / API_KEY_FILE, text + "\n")
