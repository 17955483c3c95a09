"""Creates join tokens and enrolled racks."""

from __future__ import annotations

from common.certificates import make_key, make_signing_request
from common.rpc.commands import JoinCall, Joined
from regiond.caller import Caller
from regiond.racks.service import Racks

ADMIN = Caller(account_id=1, username="admin", is_admin=True)


def signing_request(name: str = "rack-1") -> str:
    return make_signing_request(make_key(), name)


async def token_secret(racks: Racks) -> str:
    return (await racks.create_token(ADMIN, lifetime_s=600)).removeprefix("token:")


async def joined_rack(racks: Racks, name: str = "rack-1") -> Joined:
    call = JoinCall(token_secret=await token_secret(racks), name=name, signing_request_pem=signing_request(name))
    return await racks.enrol(call)
