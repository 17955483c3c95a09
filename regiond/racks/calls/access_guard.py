"""Decides whether a rack may receive the credentials of a host, and records each before it is sent.

A rack that does not have the credentials yet must first report, without them, what the host presents. A rack that
cannot reach the host, or that reaches another server at its address, never receives the host's secrets.
"""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

import structlog
from attrs import evolve

from common.addresses.host_identity import check_pin, identity_fingerprint
from common.errors import DeadlineExceeded, HostUnreachable, InnkeeperError, NotTrusted, PeerChanged, Unsupported
from common.rpc.commands.host_commands import HOST_IDENTIFY, NOTHING_BEGAN, HostCall, TrustCall
from common.rpc.link import Link
from common.trust.certificates import fingerprint, load_certificate
from common.values import HostAccess, PeerIdentity
from common.words.hidden_text import hidden, hidden_place
from regiond.credentials import model as credential_model
from regiond.credentials import sent_store
from regiond.credentials.model import SentCredential
from regiond.db.pool import Database

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

GREETING_DEADLINE_S = 15.0
CERTIFICATE = "certificate"  # the name in `HostAccess.credentials` of the certificate of a key pair
TRUST_PASSWORD = "trust_password"  # noqa: S105  # the name of the secret
_OF_PAIR = ("certificate", "key")


class HostRequest(Protocol):
    """A request that names the host with its credentials, such as `HostCall`."""

    @property
    def access(self) -> HostAccess: ...


class NotServed(Exception):
    """The rack may not have the host's credentials: its zones were changed, or it was removed."""


class AccessGuard:
    """Decides which rack may receive which credentials. One per region."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def admit(self, rack_id: UUID, link: Link, host_id: int, request: HostRequest) -> None:
        """Returns when the rack may be sent the request. Raises NotServed, or why the rack does not reach the host.

        Errors of the first contact have `NOTHING_BEGAN` in their details. Raises PeerChanged if the host presents
        another identity to the rack than the pinned one, and NotTrusted if the pin is not exactly one identity.
        """
        _check_pin(request.access)
        if await self.holds(rack_id, host_id, request):
            return
        sent = sent_credentials(request)
        await greet(link, request.access)
        async with self._database.connection() as db:
            if not await sent_store.record_sent(db, rack_id, host_id, sent):
                raise NotServed
        log.info("credentials_sent", rack=link.peer.name, host_id=host_id, names=[one.name for one in sent])

    async def holds(self, rack_id: UUID, host_id: int, request: HostRequest) -> bool:
        """Returns whether the rack is recorded to have every credential in the request; True if there is none in it."""
        sent = sent_credentials(request)
        if not sent:
            return True
        async with self._database.connection() as db:
            return await sent_store.is_sent(db, rack_id, host_id, sent)


def sent_credentials(request: HostRequest) -> tuple[SentCredential, ...]:
    """Returns the credentials in the request, without one-time tokens: the server forgets those when they are used."""
    credentials = request.access.credentials
    found = [SentCredential(name=name) for name in sorted(credentials) if name not in _OF_PAIR]
    if CERTIFICATE in credentials:
        presented = fingerprint(load_certificate(credentials[CERTIFICATE]))
        found.append(SentCredential(name=sent_store.KEY_PAIR, fingerprint=presented))
    if isinstance(request, TrustCall) and request.secret and credential_model.read_trust_token(request.secret) is None:
        found.append(SentCredential(name=TRUST_PASSWORD))
    return tuple(found)


async def greet(link: Link, access: HostAccess) -> None:
    """Has the rack read what the host presents before a login; returns if that is the pinned identity.

    The rack receives neither a credential nor the pinned identity. Raises PeerChanged, and HostUnreachable if the host
    presents nothing in time. A host that has nothing to present, such as a local socket, passes.
    """
    _check_pin(access)
    try:
        call = HostCall(access=without_secrets(access))
        presented = await link.call(HOST_IDENTIFY, call, deadline_s=GREETING_DEADLINE_S)
        _check_identity(access, presented, link.peer.name)
    except DeadlineExceeded as error:
        where = hidden_place(access.address)
        message = f"{where} presented no key or certificate to {link.peer} within {GREETING_DEADLINE_S:g} s."
        raise _began_nothing(HostUnreachable(message)) from error
    except InnkeeperError as error:
        if type(error) is Unsupported and access.pinned is None:
            return
        _began_nothing(error)
        raise


def without_secrets(access: HostAccess) -> HostAccess:
    """Returns the access with the address alone, which a rack needs to find out whether it reaches the host."""
    return evolve(access, credentials={}, pinned=None)


def _check_pin(access: HostAccess) -> None:
    if access.pinned is None:
        return
    try:
        check_pin(access.address, access.pinned)
    except NotTrusted as error:
        error.message = hidden(error.message)
        raise _began_nothing(error) from error


def _check_identity(access: HostAccess, presented: PeerIdentity, rack: str) -> None:
    if access.pinned is None or presented.material == access.pinned:
        return
    raise PeerChanged(
        hidden(
            f"{access.address} presents {presented.fingerprint} to the rack {rack} instead of the pinned "
            f"{identity_fingerprint(access.pinned)}. Nothing secret was sent."
        ),
        pinned=identity_fingerprint(access.pinned),
        presented=presented.fingerprint,
    )


def _began_nothing(error: InnkeeperError) -> InnkeeperError:
    error.details[NOTHING_BEGAN] = True
    return error
