"""Users other than the administrator, and machines that they own."""

from __future__ import annotations

from attrs import evolve

from innkeeper.http import Api
from regiond.accounts.grants import grant_default
from regiond.accounts.service import Accounts
from regiond.events.service import Events
from regiond.requests.caller import Caller
from tests.deployment.deployment import Deployment


async def as_user(innkeeper: Deployment, name: str) -> Deployment:
    """The same deployment with the API key of a new user without administrator rights."""
    return evolve(innkeeper, other_account=Api(innkeeper.api.url, await user_key(innkeeper, name)))


async def user_key(innkeeper: Deployment, name: str) -> str:
    """The API key of a new user, as clients of MAAS create one: an operator of the default pool."""
    database = innkeeper.region.components.database
    async with database.connection() as db:
        account_id = await db.fetchval("insert into account (username) values ($1) returning id", name)
        await grant_default(db, account_id)
    caller = Caller(account_id=account_id, username=name, is_admin=False)
    return await Accounts(database, record_event=Events.record).create_key(caller, "test")


async def own(innkeeper: Deployment, system_id: str, name: str, *, by_allocate: bool = False) -> None:
    """Makes the user the owner of the machine, as after an allocation."""
    async with innkeeper.region.components.database.connection() as db:
        await db.execute(
            "update machine set state = 'allocated', composed_by_allocate = $3,"
            " owner_id = (select id from account where username = $2) where system_id = $1",
            system_id, name, by_allocate,
        )  # fmt: skip
