"""Rotates the credentials that a removed or stolen rack had, and lists those that a person has to rotate."""

from __future__ import annotations

from uuid import UUID

from common.addresses.libvirt import parse
from common.errors import InvalidRequest, Unsupported, WrongState
from common.words.operation_kinds import OperationKind
from common.words.product_commands import LXD, commands_of
from regiond.credentials import key_pair_store, sent_store
from regiond.credentials.key_pairs import KeyPairs
from regiond.credentials.model import SentTo
from regiond.credentials.sent_store import KEY_PAIR
from regiond.credentials.service import Credentials
from regiond.db.pool import Db
from regiond.hosts import store
from regiond.hosts.trust.rotation import open_rotation
from regiond.hosts.views import view_store
from regiond.operations import store as operation_store
from regiond.racks.model import ExposedByHand
from regiond.requests.caller import Caller

SSH_KEY = "ssh_private_key"


class ExposedCredentials:
    """The credentials of a removed rack, for `Racks`; both methods join the caller's transaction."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def rotate(self, db: Db, caller: Caller, rack_id: UUID) -> tuple[int, ...]:
        """Returns the ids of the rotations of the key pairs that the rack had, one for each server.

        Opens a rotation unless one is open. `by_hand` returns the pairs that cannot be rotated.
        """
        sent = await sent_store.credentials_sent_to(db, rack_id)
        opened: list[int] = []
        for pair_id in sorted({one.key_pair_id for one in sent if one.key_pair_id is not None}):
            operation_id = await self._rotate(db, caller, pair_id)
            if operation_id is not None:
                opened.append(operation_id)
        return tuple(opened)

    async def _rotate(self, db: Db, caller: Caller, pair_id: int) -> int | None:
        if (await KeyPairs.view(db, pair_id)).imported:
            return None  # its rotation leaves it on the server's trust list, so a person has to end that
        for host_id in await key_pair_store.hosts_of_key_pair(db, pair_id):
            try:
                host = await view_store.read_host(db, host_id)
                return await open_rotation(db, caller, host, self._credentials, None)
            except (Unsupported, WrongState):
                continue  # another host of the server may be usable
        return None

    async def by_hand(self, db: Db, rack_id: UUID) -> tuple[ExposedByHand, ...]:
        """Returns the credentials that the rack had and that no open rotation replaces, each with its remedy."""
        found: list[ExposedByHand] = []
        for sent in await sent_store.credentials_sent_to(db, rack_id):
            remedy = await self._remedy(db, sent)
            if remedy is not None:
                found.append(
                    ExposedByHand(
                        host_id=sent.host_id,
                        host=sent.host_name,
                        credential=sent.name,
                        sent_at=sent.sent_at,
                        remedy=remedy,
                    )
                )
        return tuple(found)

    async def _remedy(self, db: Db, sent: SentTo) -> str | None:
        """Returns the remedy; None if nobody has to do anything."""
        if sent.name == KEY_PAIR:
            return await _pair_remedy(db, sent)
        if sent.name == SSH_KEY:
            host = await view_store.read_host(db, sent.host_id)
            return ssh_key_remedy(sent.host_name, sent.address, host.public_key)
        return (  # only LXD has trust passwords
            f"Unset or change the trust password on the server {sent.address}: {LXD.client} config unset "
            "core.trust_password"
        )


async def _pair_remedy(db: Db, sent: SentTo) -> str | None:
    if sent.key_pair_id is None or sent.host_id not in await key_pair_store.hosts_of_key_pair(db, sent.key_pair_id):
        return None  # a rotation prepares this pair, and rotates it again at its end
    for host_id in await key_pair_store.hosts_of_key_pair(db, sent.key_pair_id):
        if await operation_store.active(db, OperationKind.ROTATE, host_id=host_id) is not None:
            return None
    pair = await KeyPairs.view(db, sent.key_pair_id)
    host = await store.read_connection(db, sent.host_id)
    if pair.imported:
        untrust = commands_of(host.product).untrust(str(sent.fingerprint))
        return (
            f"The certificate {sent.fingerprint} was imported. Replace it by one of Innkeeper: innkeeper vm-host "
            f"rotate {sent.host_name}. Then run on its server: {untrust}"
        )
    if host.discovered:
        return f"Its rotation ended without success. Start another one: innkeeper vm-host rotate {sent.host_name}"
    return (
        f"Its server does not trust the certificate {sent.fingerprint} yet, and must not: remove the host and add it "
        f"again, which makes a new one: innkeeper vm-host delete {sent.host_name}"
    )


def ssh_key_remedy(host_name: str, address: str, public_key: str | None) -> str:
    """Returns the remedy for an SSH key: a person installed its public part, so only a person can remove it."""
    try:
        user = parse(address).user or "the user"
    except InvalidRequest:
        user = "the user"
    line = f" the line: {public_key}" if public_key else " Innkeeper's line"
    return (
        f"On {address}, remove from ~/.ssh/authorized_keys of {user}{line}. Then remove the host and add it again, "
        f"which makes a new key; its machines stay: innkeeper vm-host delete {host_name}"
    )
