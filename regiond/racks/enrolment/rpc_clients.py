"""Issues, renews, lists and revokes the certificates of RPC clients: programs that act for an account."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import asyncpg
import structlog

from common.errors import NameTaken, NotAllowed, NotFound
from common.rpc.commands.region_commands import RenewCall, Renewed
from common.rpc.peers import Peer
from common.trust.certificates import CLIENT_LIFETIME, Role, Subject, fingerprint, load_certificate
from regiond.accounts.grants import with_grants
from regiond.db.pool import Database, Db
from regiond.events.service import Events
from regiond.racks.admission_model import check_name, peer_id, require_client
from regiond.racks.enrolment import rpc_client_store
from regiond.racks.enrolment.authority import Authority
from regiond.racks.model import RpcClientView
from regiond.requests.caller import Caller
from regiond.requests.deletion_plan import AffectedRecord, DeletionPlan

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

REVOKED_CHANNEL = "rpc_client_revoked"  # a trigger notifies it


class RpcClients:
    """The RPC clients of an installation.

    Every region process listens on REVOKED_CHANNEL, whose payload is the id of a client to disconnect at once.
    """

    def __init__(
        self, database: Database, authority: Authority, *, client_lifetime: timedelta = CLIENT_LIFETIME
    ) -> None:
        self._database = database
        self._authority = authority
        self._client_lifetime = client_lifetime

    async def list(self, caller: Caller) -> tuple[RpcClientView, ...]:
        """Returns the clients that are not revoked, by name: the caller's own, or for an administrator all."""
        async with self._database.connection() as db:
            return await rpc_client_store.select(db, account_id=None if caller.is_admin else caller.account_id)

    async def issue(self, caller: Caller, name: str) -> tuple[str, str, str]:
        """Returns (certificate, key, authority) as PEM for a program that acts as the caller. The key is not stored.

        The certificate ends with the API key of the request. Raises InvalidRequest, and NameTaken while a client with
        that name is valid.
        """
        check_name(name)
        client_id = uuid4()
        subject = Subject(role=Role.CLIENT, id=str(client_id), name=name)
        async with self._database.transaction() as db:
            lifetime = await self._lifetime(db, caller.api_key_id)
            issued = self._authority.credentials_for(subject, lifetime)
            certificate = load_certificate(issued.certificate_pem)
            try:
                await rpc_client_store.insert(
                    db, client_id, name, caller.account_id, fingerprint(certificate),
                    certificate.not_valid_after_utc, api_key_id=caller.api_key_id,
                )  # fmt: skip
            except asyncpg.UniqueViolationError as error:
                raise NameTaken(f"An RPC client named {name!r} exists. Revoke it first.") from error
            except asyncpg.ForeignKeyViolationError as error:
                raise NotAllowed("The API key of this request was just deleted.") from error
            await Events.record(db, "rpc_client_issued", f"The RPC client {name!r} was issued.", caller=caller)
        return issued.certificate_pem, issued.key_pem, issued.authority_pem

    async def renew(self, peer: Peer, call: RenewCall) -> Renewed:
        """Returns a new certificate for an admitted client; the old one stays valid until it expires.

        Raises NotAllowed and InvalidRequest.
        """
        caller = await self.caller_of(peer)
        subject = Subject(role=Role.CLIENT, id=peer.id, name=peer.name)
        async with self._database.transaction() as db:
            lifetime = await self._lifetime(db, caller.api_key_id)
            certificate_pem = self._authority.sign(call.signing_request_pem, subject, lifetime)
            certificate = load_certificate(certificate_pem)
            until = certificate.not_valid_after_utc
            if not await rpc_client_store.renew(db, peer_id(peer), fingerprint(certificate), until):
                raise NotAllowed(f"The RPC client {peer.name!r} was revoked.")
        log.info("rpc_client_certificate_renewed", client=peer.name, expires_at=until.isoformat())
        return Renewed(certificate_pem=certificate_pem, authority_pem=self._authority.certificate_pem)

    async def revoke(self, caller: Caller, name: str, *, dry_run: bool = False) -> DeletionPlan:
        """Revokes a client of the caller, or any client for an administrator; all regions disconnect it.

        Raises NotFound.
        """
        async with self._database.transaction(dry_run=dry_run) as db:
            revoked = None
            if "\0" not in name:
                revoked = await rpc_client_store.revoke(db, name, caller.account_id, of_any_account=caller.is_admin)
            if revoked is None:
                raise NotFound(f"You have no RPC client named {name!r}.")
            await Events.record(db, "rpc_client_revoked", f"The RPC client {name!r} was revoked.", caller=caller)
        record = AffectedRecord(kind="RPC client", id=str(revoked), name=name)
        return DeletionPlan(
            name=name, deleted=(record,), effects=("It is disconnected at once, and its certificate is rejected.",)
        )

    async def caller_of(self, peer: Peer) -> Caller:
        """Returns the account of an RPC client with its roles.

        Raises NotAllowed if client or account is unknown or disabled.
        """
        async with self._database.connection() as db:
            caller = require_client(peer, await rpc_client_store.read(db, peer_id(peer)))
            return await with_grants(db, caller)

    async def _lifetime(self, db: Db, api_key_id: int | None) -> timedelta:
        """Returns how long a new certificate is valid: no longer than its API key."""
        left = await rpc_client_store.key_lifetime(db, api_key_id)
        return self._client_lifetime if left is None else min(self._client_lifetime, left)
