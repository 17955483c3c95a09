"""Makes a server of LXD or Incus trust Innkeeper, by a token or a command that a person runs there.

Either way the next discovery run succeeds. Until then, each run reports what is missing.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from common.addresses.host_identity import check_pin
from common.errors import DriverFailed, InnkeeperError, NotFound, NotTrusted, PeerChanged, Unsupported
from common.hosts.discovery import Discovery
from common.rpc.commands.host_commands import (
    HOST_MAKE_PROJECT,
    HOST_TRUST,
    HOST_UNTRUST,
    ProjectCall,
    TrustCall,
    UntrustCall,
)
from common.trust.certificates import fingerprint, load_certificate, utc_now
from common.values import DriverType, HostAccess, PeerIdentity
from common.words.hidden_text import hidden, hidden_place
from common.words.product_commands import ProductCommands, commands_of
from regiond.credentials import key_pair_store
from regiond.credentials.key_pairs import KeyPairs
from regiond.credentials.model import TrustToken, read_trust_token
from regiond.credentials.service import Credentials
from regiond.db.pool import Database, Db
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.hosts import schedule_store, store
from regiond.hosts.error_details import Secret, details_of, product_of, without_facts_of_the_region
from regiond.hosts.trust.first_contact import unconfirmed, unexpected
from regiond.hosts.trust.host_credentials import PASSWORD
from regiond.hosts.trust.known_before import TRUSTED_ALREADY, trusted_already
from regiond.hosts.trust.trust_instructions import TrustInstructions, accept_command, trust_name
from regiond.racks.calls.host_calls import HostCalls

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

PROJECT_DESCRIPTION = "Project managed by Innkeeper"
POLL_S = 3.0  # short, because the person who added the host probably waits
SLOW_POLL_S = 30.0
_REJECTED = (NotTrusted, DriverFailed, Unsupported)


class HostTrust:
    """Trust of hosts. `certificate_url` returns the URL of the client certificate of the host with that name."""

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

    async def check_token(self, host_id: int, host: store.HostConnection, material: str) -> None:
        """Raises PeerChanged if the stored token is not for the server that presents `material`."""
        if host.driver is not DriverType.LXD:
            return
        token = await self._token(host_id)
        presented = fingerprint(load_certificate(material))
        if token is not None and token.fingerprint != presented:
            raise PeerChanged(
                hidden(
                    f"The trust token of {host.name} is for a server with the certificate {token.fingerprint}, but "
                    f"{host.address} presents {presented}. The token was not sent. Check the address, or give a token "
                    "of this server."
                ),
                expected=token.fingerprint,
                presented=presented,
                named_by=Secret.TOKEN.value,
            )

    @staticmethod
    def check_expected(host: store.HostConnection, presented: PeerIdentity) -> None:
        """Raises PeerChanged if a person named another fingerprint for the host."""
        if host.expected_fingerprint not in (None, presented.fingerprint):
            raise unexpected(host.name, host.address, str(host.expected_fingerprint), presented.fingerprint)

    async def share_key_pair(self, db: Db, host_id: int, host: store.HostConnection, identity: PeerIdentity) -> None:
        """Gives a new host the key pair of its server if the server is known by another address."""
        if host.driver is not DriverType.LXD or host.discovered:
            return
        own_id = await key_pair_store.key_pair_of_host(db, host_id)
        known_id = await key_pair_store.key_pair_of_same_server(db, host_id, identity.fingerprint)
        if known_id is None or known_id == own_id or own_id is None:
            return
        if (await self._key_pairs.view(db, own_id)).imported:
            return  # the user has chosen this pair
        await key_pair_store.assign_key_pair(db, host_id, known_id)
        await key_pair_store.drop_unused_key_pair(db, own_id)
        log.info("key_pair_shared", host_id=host_id, key_pair=known_id)

    async def use_secret(self, host_id: int) -> None:
        """Sends the stored token or password, if there is one, and deletes it whatever the result.

        A password is neither sent nor deleted while nobody has confirmed the server. Neither is a secret that is for
        another server (raises PeerChanged), or any secret while the pin cannot be used (raises NotTrusted).
        """
        async with self._database.connection() as db:
            secret = (await self._credentials.load(db, host_id)).get(PASSWORD)
            host = await store.read_connection(db, host_id)
        if secret is None or host.pinned is None:
            return
        check_pin(host.address, host.pinned)
        await self.check_token(host_id, host, host.pinned)
        if not host.may_have_password and read_trust_token(secret) is None:
            log.info("trust_password_not_sent", host_id=host_id, presented=host.pinned_fingerprint)
            return

        if await self._trusts(host_id, host.name, secret=None) is None:
            await self._delete_secret(host_id, secret)
            await self._tell_of_trust(host_id, host)
            return
        error = await self._trusts(host_id, host.name, secret=secret)
        if error is not None:
            token = read_trust_token(secret)
            commands = commands_of(product_of(error) or host.product)
            refused = Secret.PASSWORD if token is None and commands.takes_passwords else Secret.TOKEN
            rejection = _rejection(error, token, commands)
            await self._delete_secret(host_id, secret, rejection=rejection, refused=refused)
            return  # the next discovery run fails, unless a person adds the certificate to the trust list before
        await self._delete_secret(host_id, secret)
        log.info("certificate_trusted", host_id=host_id, with_token=read_trust_token(secret) is not None)

    async def _trusts(self, host_id: int, name: str, *, secret: str | None) -> InnkeeperError | None:
        """Makes the server trust us by `secret`; without one, only asks. Returns why it does not; None if it does."""

        def request(access: HostAccess) -> TrustCall:
            pem = access.credentials["certificate"]
            return TrustCall(access=access, certificate_pem=pem, name=trust_name(name), secret=secret)

        try:
            await self._calls.call(host_id, HOST_TRUST, request)
        except _REJECTED as error:
            return error
        return None

    async def _tell_of_trust(self, host_id: int, host: store.HostConnection) -> None:
        async with self._database.transaction() as db:
            pair_id = await key_pair_store.key_pair_of_host(db, host_id)
            imported = pair_id is not None and (await self._key_pairs.view(db, pair_id)).imported
            message = hidden(trusted_already(host.name, commands_of(host.product), imported=imported))
            await Events.record(db, TRUSTED_ALREADY, message, level=Level.WARNING, host_id=host_id)
        log.info("certificate_trusted_already", host_id=host_id)

    async def discover(self, host_id: int, host: store.HostConnection, *, deadline_s: float) -> Discovery:
        """Returns a discovery run. First creates the LXD project if a new host names one that does not exist."""
        try:
            found = await self._calls.discover(host_id, deadline_s=deadline_s)
        except NotFound:
            if host.driver is not DriverType.LXD or host.discovered:
                raise
            await self._create_project(host_id, host)
            found = await self._calls.discover(host_id, deadline_s=deadline_s)
        if host.driver is DriverType.LXD:
            if host.has_password and not host.discovered:
                await self._drop_unsent_password(host_id)
            await self._untrust_retired(host_id)
        return found

    async def explained(self, host_id: int, host: store.HostConnection, error: InnkeeperError) -> InnkeeperError:
        """Returns the error, with the command that helps if the host does not trust us or its identity changed.

        `error` may be that of a rack: what only the region can know is removed from its details.
        """
        if isinstance(error, PeerChanged | NotTrusted):
            error = type(error)(hidden(error.message), **without_facts_of_the_region(error.details))
        if isinstance(error, PeerChanged):
            offered = details_of(error).offered
            if offered is None or "expected" in error.details:
                return error
            command = accept_command(host_id, offered)
            details = {"pinned": host.pinned_fingerprint, **error.details}
            return PeerChanged(hidden(f"{error.message} To accept it: {command}"), **details)
        if host.driver is not DriverType.LXD or not isinstance(error, NotTrusted) or "reason" not in error.details:
            return error
        product = product_of(error) or host.product
        if host.has_password and not host.may_have_password and host.pinned_fingerprint is not None:
            commands = commands_of(product)
            if commands.takes_passwords:
                return unconfirmed(host_id, host.name, host.address, host.pinned_fingerprint, commands)
            host = await self._reject_password(host_id, commands)
        reason = host.trust_error or str(error.details["reason"])
        instructions = await self._instructions(host, product)
        details = {**error.details, "reason": reason, "certificate_url": instructions.url}
        if host.rejected_secret is not None:
            details["rejected"] = host.rejected_secret
        return NotTrusted(hidden(instructions.waiting_text(reason)), **details)

    async def _instructions(self, host: store.HostConnection, product: str) -> TrustInstructions:
        async with self._database.connection() as db:
            pem = await self._key_pairs.certificate_named(db, host.name)
        url = self._certificate_url(host.name)  # the driver does not know it
        return TrustInstructions(
            host_name=host.name, url=url, certificate_pem=pem, project=host.project, product=product
        )

    @staticmethod
    async def schedule_retry(db: Db, host_id: int, host: store.HostConnection, error: InnkeeperError) -> None:
        """Schedules refreshes of a host that waits for trust: every few seconds, after an hour every half minute."""
        if host.driver is DriverType.LXD and isinstance(error, NotTrusted):
            await schedule_store.refresh_within(db, [host_id], POLL_S if host.is_new else SLOW_POLL_S)

    async def _token(self, host_id: int) -> TrustToken | None:
        async with self._database.connection() as db:
            secret = (await self._credentials.load(db, host_id)).get(PASSWORD)
        return None if secret is None else read_trust_token(secret)

    async def _delete_secret(
        self, host_id: int, secret: str, *, rejection: str | None = None, refused: Secret | None = None
    ) -> None:
        async with self._database.transaction() as db:
            await store.lock(db, host_id)
            if (await self._credentials.load(db, host_id)).get(PASSWORD) != secret:
                return  # the user has set another secret meanwhile
            await self._credentials.delete(db, host_id, [PASSWORD])
            await store.set_trust_error(db, host_id, rejection, refused)
            if rejection is not None:
                await Events.record(db, "host_trust_rejected", hidden(rejection), level=Level.WARNING, host_id=host_id)

    async def _reject_password(self, host_id: int, commands: ProductCommands) -> store.HostConnection:
        """Deletes what was given as a trust password of a server that has none. Returns the host with the reason."""
        async with self._database.connection() as db:
            secret = (await self._credentials.load(db, host_id)).get(PASSWORD)
        if secret is not None:
            await self._delete_secret(host_id, secret, rejection=_no_token(commands), refused=Secret.TOKEN)
        async with self._database.connection() as db:
            return await store.read_connection(db, host_id)

    async def _drop_unsent_password(self, host_id: int) -> None:
        """Deletes the unsent password: the server trusts us, since a person has added the certificate there."""
        async with self._database.transaction() as db:
            await store.lock(db, host_id)
            if not (await store.read_connection(db, host_id)).may_have_password:
                await self._credentials.delete(db, host_id, [PASSWORD])

    async def _untrust_retired(self, host_id: int) -> None:
        """Removes a replaced certificate from the server's trust list; records an event if the server rejects that."""
        async with self._database.connection() as db:
            retired = await key_pair_store.retired_certificate(db, host_id)
        if retired is None:
            return
        result, level = "is no longer trusted there", Level.INFO
        try:
            await self._calls.call(
                host_id,
                HOST_UNTRUST,
                lambda access: UntrustCall(access=access, fingerprint=retired),
            )
        except _REJECTED as error:  # a restricted certificate may not change the trust list
            result, level = f"may still be trusted there: {error.message}", Level.WARNING
        except InnkeeperError as error:
            log.info("retired_certificate_not_removed", host_id=host_id, code=error.code, reason=error.message)
            return  # the next discovery run retries
        async with self._database.transaction() as db:
            if await key_pair_store.clear_retired_certificate(db, retired):
                message = f"The replaced certificate {hidden_place(retired)} {result}"
                await Events.record(db, "certificate_retired", message, level=level, host_id=host_id)

    async def _create_project(self, host_id: int, host: store.HostConnection) -> None:
        await self._calls.call(
            host_id,
            HOST_MAKE_PROJECT,
            lambda access: ProjectCall(access=access, description=PROJECT_DESCRIPTION),
        )
        async with self._database.transaction() as db:
            message = f"Created the project {host.project} on {host.name}"
            await Events.record(db, "project_created", message, host_id=host_id)


def _rejection(error: InnkeeperError, token: TrustToken | None, commands: ProductCommands) -> str:
    """Returns the text for a rejected token or password, which never contains the secret."""
    found = str(error.details.get("reason", error.message)).rstrip(". ")
    if token is None:
        if not commands.takes_passwords:
            return _no_token(commands)
        return f"{commands.product} rejected the trust password ({found})."
    expired = token.expires_at is not None and token.expires_at < utc_now()
    reason = f"expired at {token.expires_at:%Y-%m-%d %H:%M} UTC" if expired else found
    return f"{commands.product} rejected the token ({reason}). Get one with: {commands.how_to_trust}"


def _no_token(commands: ProductCommands) -> str:
    return (
        f"The secret is no trust token, and {commands.product} takes nothing else. Get one with: "
        f"{commands.how_to_trust}"
    )
