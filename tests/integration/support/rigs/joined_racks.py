"""Creates join tokens, enrolled racks and rows of hosts."""

from __future__ import annotations

from common.rpc.commands.region_commands import JoinCall, Joined
from common.trust.certificates import make_key, make_signing_request
from regiond.db.pool import Database
from regiond.racks.service import Racks
from regiond.requests.caller import Caller
from tests.postgresql.database import fetchval

ADMIN = Caller(account_id=1, username="admin", is_admin=True)


def signing_request(name: str = "rack-1") -> str:
    return make_signing_request(make_key(), name)


async def token_secret(racks: Racks) -> str:
    return (await racks.create_token(ADMIN, lifetime_s=600)).removeprefix("token:")


async def joined_rack(racks: Racks, name: str = "rack-1") -> Joined:
    call = JoinCall(token_secret=await token_secret(racks), name=name, signing_request_pem=signing_request(name))
    return await racks.enrol(call)


async def add_host_row(database: Database, name: str = "a") -> int:
    """Returns the id of a host that was never discovered."""
    statement = "insert into vm_host (name, driver, address, system_id) values ($1, 'virsh', $1, $1) returning id"
    return int(await fetchval(database, statement, name))
