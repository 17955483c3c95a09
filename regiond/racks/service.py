"""Racks and RPC clients: how they become members, who may come in, and which rack reaches which host."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import structlog

from common.certificates import CLIENT_LIFETIME, RACK_LIFETIME, Role, Subject, fingerprint, load_certificate
from common.errors import (
    InnkeeperError,
    InvalidRequest,
    NameTaken,
    NotAllowed,
    NotFound,
    TokenRefused,
)
from common.rpc.commands import JoinCall, Joined, RenewCall, Renewed
from common.rpc.peers import Peer
from regiond.accounts.model import Caller
from regiond.db.pool import Database
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.racks import store
from regiond.racks.authority import Authority
from regiond.racks.model import (
    AwayRack,
    RackCandidate,
    RackView,
    RpcClientView,
    check_name,
    in_order,
    peer_id,
    rack_uuid,
    token_hash,
)
from regiond.racks.presence import Presence
from regiond.racks.refusals import Refusals

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

LONGEST_TOKEN_LIFETIME_S = 30 * 24 * 3600.0


class Racks:
    """`token_text` makes, of a token's secret, the text that people copy: with the region's address and authority.

    Every region process listens on `store.REMOVED_CHANNEL` and `store.REVOKED_CHANNEL`, whose payload is the id of a
    rack or RPC client to drop at once.
    """

    def __init__(
        self,
        database: Database,
        authority: Authority,
        presence: Presence,
        *,
        token_text: Callable[[str], str],
        rack_lifetime: timedelta = RACK_LIFETIME,
        client_lifetime: timedelta = CLIENT_LIFETIME,
    ) -> None:
        self._database = database
        self._authority = authority
        self._presence = presence
        self._token_text = token_text
        self._rack_lifetime = rack_lifetime
        self._client_lifetime = client_lifetime
        self._refusals = Refusals(database)

    async def list(self) -> tuple[RackView, ...]:
        """Those not removed, by name."""
        async with self._database.connection() as db:
            return await store.list_racks(db)

    async def read(self, rack_id: str) -> RackView:
        """Also one that was removed. Raises NotFound."""
        async with self._database.connection() as db:
            found = await store.read(db, rack_uuid(rack_id))
        if found is None:
            raise NotFound(f"There is no rack {rack_id}.")
        return found

    # Membership ---------------------------------------------------------------------------------------------------

    async def make_token(self, caller: Caller | None, *, lifetime_s: float) -> str:
        """The text of a token that lets one rack join within `lifetime_s` (1 s to 30 days). Kept nowhere: a hash is.

        `caller` is an admin, or None for whoever is on the region's own machine.
        """
        if caller is not None:
            caller.require_admin()
        if not 1 <= lifetime_s <= LONGEST_TOKEN_LIFETIME_S:
            raise InvalidRequest.of({"lifetime_s": [f"Give 1 to {LONGEST_TOKEN_LIFETIME_S:.0f} seconds."]})
        secret = secrets.token_urlsafe(32)
        created_by = caller.account_id if caller else None
        async with self._database.transaction() as db:
            until = await store.insert_token(db, token_hash(secret), created_by, timedelta(seconds=lifetime_s))
            message = f"A token for one rack was made, good until {until:%Y-%m-%d %H:%M} UTC."
            await Events.record(db, "rack_token_made", message, caller=caller)
        return self._token_text(secret)

    async def enrol(self, call: JoinCall) -> Joined:
        """Make whoever has the token a rack: token used, certificate signed and row written, or none of these.

        Raises TokenRefused (`details["reason"]`: unknown, used, expired), NameTaken, InvalidRequest. The name of a
        rack that joined but was never connected is free: its certificate was lost on the way.
        """
        name, rack_id = check_name(call.name), uuid4()
        async with self._database.transaction() as db:
            used_hash = token_hash(call.token_secret)
            if not await store.use_token(db, used_hash, rack_id):
                raise _refusal(await store.token(db, used_hash))
            certificate_pem = self._sign_rack(call.signing_request_pem, rack_id, name)
            certificate = load_certificate(certificate_pem)
            try:
                await store.insert(db, rack_id, name, fingerprint(certificate), certificate.not_valid_after_utc)
            except asyncpg.UniqueViolationError as error:
                raise NameTaken(
                    f"There is a rack {name!r} already; remove it first, or choose another name."
                ) from error
            await Events.record(db, "rack_joined", f"The rack {name!r} joined.", rack_id=rack_id)
            installation_id = await store.installation_id(db)
        log.info("rack_joined", rack=name, rack_id=str(rack_id))
        return Joined(
            rack_id=str(rack_id),
            name=name,
            installation_id=str(installation_id),
            certificate_pem=certificate_pem,
            authority_pem=self._authority.certificate_pem,
        )

    async def renew(self, rack_id: str, call: RenewCall) -> Renewed:
        """A new certificate for a rack that is one; the old one is good until it expires. Raises NotAllowed."""
        async with self._database.transaction() as db:
            known = await store.standing(db, rack_uuid(rack_id))
            name = _admitted(rack_id, known)
            certificate_pem = self._sign_rack(call.signing_request_pem, rack_uuid(rack_id), name)
            certificate = load_certificate(certificate_pem)
            until = certificate.not_valid_after_utc
            if await store.renew(db, rack_uuid(rack_id), fingerprint(certificate), until) is None:
                raise NotAllowed(f"The rack {name!r} was removed from this region.")
        log.info("rack_certificate_renewed", rack=name, expires_at=until.isoformat())
        return Renewed(certificate_pem=certificate_pem, authority_pem=self._authority.certificate_pem)

    async def remove(self, caller: Caller, rack_id: str) -> None:
        """Refuse the rack from now on; every region process drops its links. Again is harmless. Raises NotFound."""
        caller.require_admin()
        async with self._database.transaction() as db:
            name = await store.remove(db, rack_uuid(rack_id))
            if name is not None:
                message = f"The rack {name!r} was removed."
                await Events.record(
                    db, "rack_removed", message, level=Level.WARNING, caller=caller, rack_id=rack_uuid(rack_id)
                )
            elif await store.standing(db, rack_uuid(rack_id)) is None:
                raise NotFound(f"There is no rack {rack_id}.")

    # RPC clients --------------------------------------------------------------------------------------------------

    async def issue_client(self, caller: Caller, name: str) -> tuple[str, str, str]:
        """(certificate, key, authority) as PEM, for a program that acts as the caller. The key is kept nowhere.

        Raises InvalidRequest, and NameTaken while another of that name is not revoked.
        """
        check_name(name)
        client_id = uuid4()
        subject = Subject(role=Role.CLIENT, id=str(client_id), name=name)
        made = self._authority.credentials_for(subject, self._client_lifetime)
        certificate = load_certificate(made.certificate_pem)
        until = certificate.not_valid_after_utc
        async with self._database.transaction() as db:
            try:
                await store.insert_client(db, client_id, name, caller.account_id, fingerprint(certificate), until)
            except asyncpg.UniqueViolationError as error:
                raise NameTaken(f"There is an RPC client {name!r} already; revoke it first.") from error
            await Events.record(db, "rpc_client_issued", f"The RPC client {name!r} was issued.", caller=caller)
        return made.certificate_pem, made.key_pem, made.authority_pem

    async def clients(self, caller: Caller) -> tuple[RpcClientView, ...]:
        """Those not revoked, by name; for admins."""
        caller.require_admin()
        async with self._database.connection() as db:
            return await store.list_clients(db)

    async def revoke_client(self, caller: Caller, name: str) -> None:
        """One's own, or any as an admin. Every region process drops its links. Raises NotFound."""
        async with self._database.transaction() as db:
            revoked = None
            if "\0" not in name:
                revoked = await store.revoke_client(db, name, caller.account_id, whoever_holds_it=caller.is_admin)
            if revoked is None:
                raise NotFound(f"There is no RPC client {name!r} of yours.")
            await Events.record(db, "rpc_client_revoked", f"The RPC client {name!r} was revoked.", caller=caller)

    # Coming in ----------------------------------------------------------------------------------------------------

    async def admit(self, peer: Peer) -> None:
        """Return for a rack or RPC client that is welcome; the link has checked its certificate. Raises NotAllowed."""
        if peer.role is Role.CLIENT:
            await self.caller_of(peer)
            return
        if peer.role is not Role.RACK:
            raise NotAllowed(f"{peer} is neither a rack nor an RPC client.")
        async with self._database.connection() as db:
            known = await store.standing(db, peer_id(peer))
        try:
            _admitted(peer.id, known)
        except NotAllowed as error:
            await self._refusals.at_the_door(peer, error)
            raise

    async def caller_of(self, peer: Peer) -> Caller:
        """The account that an RPC client acts for. Raises NotAllowed when client or account may not come in."""
        async with self._database.connection() as db:
            known = await store.client(db, peer_id(peer))
        if known is None or known.certificate_fingerprint != peer.fingerprint:
            raise NotAllowed(f"The RPC client {peer.name!r} ({peer.id}) is not known to this region.")
        if known.revoked_at is not None:
            raise NotAllowed(f"The RPC client {peer.name!r} was revoked on {known.revoked_at:%Y-%m-%d}.")
        if not known.is_active:
            raise NotAllowed(f"The account {known.caller.username!r} of the RPC client {peer.name!r} is switched off.")
        return known.caller

    async def region_addresses(self) -> tuple[str, ...]:
        """Where racks find the regions of this installation."""
        return await self._presence.addresses()

    async def link_up(self, rack_id: str) -> None:
        """This process has a link to the rack."""
        await self._presence.link_up(rack_uuid(rack_id))

    async def link_down(self, rack_id: str) -> None:
        """A link of this process to the rack has gone."""
        await self._presence.link_down(rack_uuid(rack_id))

    # Reach --------------------------------------------------------------------------------------------------------

    async def record_reach(self, rack_id: str, host_id: int, error: InnkeeperError | None = None) -> bool:
        """Keep whether the rack reached the host, `error` saying why not. Writes, and is true, only for news."""
        async with self._database.connection() as db:
            try:
                return await store.record_reach(db, rack_uuid(rack_id), host_id, error)
            except asyncpg.ForeignKeyViolationError:
                return False  # host or rack went in this very moment, and the knowledge with them

    async def refused(self, rack_id: str, host_id: int | None, why: str) -> None:
        """See `Refusals.answer`."""
        await self._refusals.answer(rack_id, host_id, why)

    async def racks_for(self, host_id: int) -> tuple[RackCandidate, ...]:
        """Connected racks in the order to try them; empty when none is connected."""
        async with self._database.connection() as db:
            return in_order(await store.candidates(db, host_id, self._presence.region_id))

    async def away_from(self, host_id: int) -> tuple[AwayRack, ...]:
        """Racks that reached the host when they last tried, and are connected to no region now."""
        async with self._database.connection() as db:
            return await store.away(db, host_id)

    async def untried(self) -> tuple[tuple[UUID, int], ...]:
        """Racks of this process, each with a ready host that it never tried to reach; 1000 at most."""
        async with self._database.connection() as db:
            return await store.untried(db, self._presence.region_id)

    async def unreached_hosts(self) -> tuple[int, ...]:
        """Hosts that count as ready, though no connected rack is known to reach them."""
        async with self._database.connection() as db:
            return await store.unreached(db)

    def _sign_rack(self, signing_request_pem: str, rack_id: UUID, name: str) -> str:
        subject = Subject(role=Role.RACK, id=str(rack_id), name=name)
        return self._authority.sign(signing_request_pem, subject, self._rack_lifetime)


def _admitted(rack_id: str, known: store.Standing | None) -> str:
    """The rack's name."""
    if known is None:
        raise NotAllowed(f"The rack {rack_id} is not known to this region; let it join again.")
    if known.removed_at is not None:
        raise NotAllowed(f"The rack {known.name!r} was removed from this region on {known.removed_at:%Y-%m-%d}.")
    return known.name


def _refusal(token: store.TokenState | None) -> TokenRefused:
    if token is None:
        return TokenRefused("This token is not one of this region's; ask for a new one.", reason="unknown")
    if token.used_at is not None:
        return TokenRefused(f"This token was used at {token.used_at:%Y-%m-%d %H:%M} UTC.", reason="used")
    return TokenRefused(f"This token expired at {token.expires_at:%Y-%m-%d %H:%M} UTC.", reason="expired")
