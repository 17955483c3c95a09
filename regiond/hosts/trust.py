"""How an LXD host comes to trust us: a token or password is used once, a person may trust the certificate by hand.

Both lead to the same place: the next look at the host succeeds. Until then each look says what is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from common.certificates import fingerprint, load_certificate, utc_now
from common.discovery import Discovery
from common.errors import DriverFailed, InnkeeperError, NotFound, NotTrusted, PeerChanged, Unsupported
from common.rpc.commands import HOST_MAKE_PROJECT, HOST_TRUST, HOST_UNTRUST, ProjectCall, TrustCall, UntrustCall
from common.values import DriverType, HostAccess, PeerIdentity
from regiond.credentials import key_pair_store
from regiond.credentials.key_pairs import KeyPairs
from regiond.credentials.service import Credentials
from regiond.credentials.trust_tokens import TrustToken, read_trust_token
from regiond.db.pool import Database
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.hosts import schedule_store, store
from regiond.hosts.credentialing import PASSWORD
from regiond.hosts.trust_text import trust_name, waiting_text
from regiond.racks.calls import HostCalls

if TYPE_CHECKING:
    from regiond.db.pool import Db

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

TRUST_DEADLINE_S = 30.0
PROJECT_DEADLINE_S = 30.0
PROJECT_TEXT = "Project managed by Innkeeper"
POLL_S = 3.0  # a person who has just typed the command is waiting
SLOW_POLL_S = 30.0
_ADVICE = " On that server:"  # how the driver goes on; it does not know where the certificate can be fetched
_REFUSED = (NotTrusted, DriverFailed, Unsupported)


class Trust:
    """`certificate_url` says where the certificate of a host of that name can be fetched."""

    def __init__(
        self,
        database: Database,
        calls: HostCalls,
        credentials: Credentials,
        key_pairs: KeyPairs,
        *,
        certificate_url: Callable[[str], str],
    ) -> None:
        self._database = database
        self._calls = calls
        self._credentials = credentials
        self._key_pairs = key_pairs
        self._certificate_url = certificate_url

    async def check_token(self, host_id: int, link: store.Link, material: str) -> None:
        """Raises PeerChanged when the token that was given is of another server than the one that shows `material`."""
        if link.driver is not DriverType.LXD:
            return
        token = await self._token(host_id)
        shown = fingerprint(load_certificate(material))
        if token is not None and token.fingerprint != shown:
            raise PeerChanged(
                f"The trust token of {link.name} was made by a server with the certificate {token.fingerprint}; "
                f"{link.address} shows {shown}. The token was not sent: check the address, or give another token.",
                expected=token.fingerprint,
                presented=shown,
            )

    async def pinned(self, db: Db, host_id: int, link: store.Link, identity: PeerIdentity) -> None:
        """A server known by another address has a key pair already: a new host there uses that one."""
        if link.driver is not DriverType.LXD or link.discovered:
            return
        own_id = await key_pair_store.of_host(db, host_id)
        known_id = await key_pair_store.of_same_server(db, host_id, identity.fingerprint)
        if known_id is None or known_id == own_id or own_id is None:
            return
        if (await self._key_pairs.view(db, own_id)).imported:
            return  # a person chose it
        await key_pair_store.use(db, host_id, known_id)
        await key_pair_store.drop_unused(db, own_id)
        log.info("key_pair_shared", host=host_id, key_pair=known_id)

    async def admit(self, host_id: int) -> None:
        """Use the token or password that was given, if there is one; it is forgotten, whatever came of it.

        Raises PeerChanged, with the secret kept and not sent, when it is for another server; the host's own errors.
        """
        async with self._database.connection() as db:
            secret = (await self._credentials.load(db, host_id)).get(PASSWORD)
            link = await store.link(db, host_id)
        if secret is None or link.pinned is None:
            return
        await self.check_token(host_id, link, link.pinned)

        def request(access: HostAccess) -> TrustCall:
            pem = access.credentials["certificate"]
            return TrustCall(access=access, certificate_pem=pem, name=trust_name(link.name), secret=secret)

        try:
            await self._calls.call(host_id, HOST_TRUST, request, deadline_s=TRUST_DEADLINE_S)
        except _REFUSED as error:
            await self._used(host_id, secret, refusal=_refusal(error, read_trust_token(secret)))
            return  # the look that follows says so, unless a person has trusted the certificate meanwhile
        await self._used(host_id, secret, refusal=None)
        log.info("certificate_trusted", host=host_id, with_token=read_trust_token(secret) is not None)

    async def discover(self, host_id: int, link: store.Link, *, deadline_s: float) -> Discovery:
        """A look; the project is made first where a new host was added with one that is not there."""
        try:
            found = await self._calls.discover(host_id, deadline_s=deadline_s)
        except NotFound:
            if link.driver is not DriverType.LXD or link.discovered:
                raise
            await self._make_project(host_id, link)
            found = await self._calls.discover(host_id, deadline_s=deadline_s)
        if link.driver is DriverType.LXD:
            await self._untrust_retired(host_id)
        return found

    def explained(self, link: store.Link, error: InnkeeperError) -> InnkeeperError:
        """An LXD host that does not trust us says what to do about it; other errors stay as they are."""
        reason, advice, _ = error.message.partition(_ADVICE)
        if link.driver is not DriverType.LXD or not isinstance(error, NotTrusted) or not advice:
            return error
        if link.trust_refusal is not None:
            reason = f"{link.trust_refusal.rstrip('. ')}. {reason}"
        url = self._certificate_url(link.name)
        return NotTrusted(waiting_text(link.name, reason, url), **{**error.details, "certificate_url": url})

    @staticmethod
    async def keep_looking(db: Db, host_id: int, link: store.Link, error: InnkeeperError) -> None:
        """A host that waits for trust is looked at every few seconds, later less often."""
        if link.driver is DriverType.LXD and isinstance(error, NotTrusted):
            await schedule_store.refresh_soon(db, host_id, POLL_S if link.is_new else SLOW_POLL_S)

    async def _token(self, host_id: int) -> TrustToken | None:
        async with self._database.connection() as db:
            secret = (await self._credentials.load(db, host_id)).get(PASSWORD)
        return None if secret is None else read_trust_token(secret)

    async def _used(self, host_id: int, secret: str, *, refusal: str | None) -> None:
        async with self._database.transaction() as db:
            await store.lock(db, host_id)
            if (await self._credentials.load(db, host_id)).get(PASSWORD) != secret:
                return  # a person has given another one meanwhile
            await self._credentials.forget(db, host_id, [PASSWORD])
            await store.set_trust_refusal(db, host_id, refusal)
            if refusal is not None:
                await Events.record(db, "host_trust_refused", refusal, level=Level.WARNING, host_id=host_id)

    async def _untrust_retired(self, host_id: int) -> None:
        """Tidying up: a server that does not let us (a restricted certificate) keeps it, and the event says so."""
        async with self._database.connection() as db:
            retired = await key_pair_store.retired(db, host_id)
        if retired is None:
            return
        said, level = "is not trusted there any more", Level.INFO
        try:
            await self._calls.call(
                host_id,
                HOST_UNTRUST,
                lambda access: UntrustCall(access=access, fingerprint=retired),
                deadline_s=TRUST_DEADLINE_S,
            )
        except _REFUSED as error:
            said, level = f"may still be trusted there: {error.message}", Level.WARNING
        except InnkeeperError as error:
            log.info("retired_certificate_not_removed", host=host_id, code=error.code, because=error.message)
            return  # the next look tries again
        async with self._database.transaction() as db:
            if await key_pair_store.forget_retired(db, retired):
                message = f"Our certificate {retired}, which another took the place of, {said}"
                await Events.record(db, "certificate_retired", message, level=level, host_id=host_id)

    async def _make_project(self, host_id: int, link: store.Link) -> None:
        await self._calls.call(
            host_id,
            HOST_MAKE_PROJECT,
            lambda access: ProjectCall(access=access, description=PROJECT_TEXT),
            deadline_s=PROJECT_DEADLINE_S,
        )
        async with self._database.transaction() as db:
            message = f"The project {link.project} was made on {link.name}"
            await Events.record(db, "project_made", message, host_id=host_id)


def _refusal(error: InnkeeperError, token: TrustToken | None) -> str:
    """Never with the secret: LXD does not repeat it, and neither do we."""
    what = "trust password" if token is None else "trust token"
    said = f"The {what} was refused: {error.message.rstrip('. ')}."
    if token is not None and token.expires_at is not None and token.expires_at < utc_now():
        said += f" It expired at {token.expires_at:%Y-%m-%d %H:%M} UTC."
    return said
