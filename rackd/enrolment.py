"""Enrols a rack: exchanges a one-time token for an identity."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from common.errors import LinkLost
from common.process.private_files import make_usable_folder
from common.rpc.commands.region_commands import RACK_JOIN, JoinCall, Joined
from common.rpc.connection import connect
from common.rpc.handlers import Side
from common.rpc.peers import Address
from common.rpc.tls import JoiningTls
from common.rpc.tokens import JoinToken, decode_token
from common.trust.certificates import Role, make_key, make_signing_request
from rackd.identity import Identity, check_certificate, save

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

DIAL_DEADLINE_S = 10.0
JOIN_DEADLINE_S = 10.0


async def join(token_text: str, state_dir: Path, name: str) -> Identity:
    """Returns the rack's new identity, saved in `state_dir`, where it replaces an older one.

    Tries the token's addresses in order. On failure saves nothing and raises TokenRejected (malformed, used, expired or
    unknown token), NotTrusted (another region answered), LinkLost (no address was reachable) or BadSettings
    (`state_dir` is not writable). LinkLost after the region has accepted the token consumes it: request another one.
    """
    token = decode_token(token_text)
    await asyncio.to_thread(make_usable_folder, state_dir)  # before the token is used up
    key_pem = await asyncio.to_thread(make_key)
    joined = await _request_identity(
        token, JoinCall(token_secret=token.secret, name=name, signing_request_pem=make_signing_request(key_pem, name))
    )
    check_certificate(joined.rack_id, key_pem, joined.certificate_pem, joined.authority_pem)
    identity = Identity(
        rack_id=joined.rack_id,
        name=joined.name,
        installation_id=joined.installation_id,
        addresses=token.addresses,
        key_pem=key_pem,
        certificate_pem=joined.certificate_pem,
        authority_pem=joined.authority_pem,
    )
    await asyncio.to_thread(save, state_dir, identity)
    log.info("rack_joined", rack=identity.name, rack_id=identity.rack_id)
    return identity


async def _request_identity(token: JoinToken, call: JoinCall) -> Joined:
    side = Side(role=Role.ANONYMOUS, name=call.name)
    tls = JoiningTls(token.authority_fingerprint)
    unreached: list[str] = []
    for text in token.addresses:
        try:
            link = await connect(Address.parse(text), tls, side, deadline_s=DIAL_DEADLINE_S)
        except LinkLost as error:
            unreached.append(str(error))
            continue
        try:
            return await link.call(RACK_JOIN, call, deadline_s=JOIN_DEADLINE_S)
        finally:
            link.close("the rack has joined")
            await link.closed()
    raise LinkLost(f"Cannot connect to any region of the token: {'; '.join(unreached)}")
