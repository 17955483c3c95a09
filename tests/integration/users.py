"""Users beside the administrator, and what they ask through the API."""

from __future__ import annotations

from attrs import evolve

from innkeeper.http import Api
from regiond.accounts.model import Caller
from regiond.accounts.service import Accounts
from tests.installation import Installation


async def as_user(innkeeper: Installation, name: str) -> Installation:
    """The same installation, asked by somebody who is no administrator."""
    database = innkeeper.region.parts.database
    async with database.connection() as db:
        account_id = await db.fetchval("insert into account (username) values ($1) returning id", name)
    caller = Caller(account_id=account_id, username=name, is_admin=False)
    return evolve(innkeeper, api=Api(innkeeper.api.url, await Accounts(database).create_key(caller, "test")))


async def own(innkeeper: Installation, system_id: str, name: str, *, by_allocate: bool = False) -> None:
    """As if `name` had been allocated it, or had it composed by allocation."""
    async with innkeeper.region.parts.database.connection() as db:
        await db.execute(
            "update machine set state = 'allocated', composed_by_allocate = $3,"
            " owner_id = (select id from account where username = $2) where system_id = $1",
            system_id, name, by_allocate,
        )  # fmt: skip
