"""Enrols, admits and removes racks and RPC clients; records which rack reaches which host."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import asyncpg
import structlog
from attrs import evolve

from common.certificates import CLIENT_LIFETIME, RACK_LIFETIME, Role, Subject, fingerprint, load_certificate
from common.errors import (
    InnkeeperError,
    InvalidRequest,
    NameTaken,
    NotAllowed,
    NotFound,
)
from common.rpc.commands import JoinCall, Joined, RenewCall, Renewed
from common.rpc.peers import Peer
from regiond.accounts.service import with_grants
from regiond.caller import Caller
from regiond.credentials import service as credential_service
from regiond.db.pool import Database
from regiond.deletion_plan import AffectedRecord, DeletionPlan
from regiond.events.service import Events
from regiond.racks import store, view_store, zone_store
from regiond.racks.access_guard import without_secrets
from regiond.racks.authority import Authority
from regiond.racks.heartbeat import Heartbeat
from regiond.racks.host_calls import HostCalls, nothing_began
from regiond.racks.model import (
    DisconnectedRack,
    RackCandidate,
    RackView,
    RecordedReach,
    RegionView,
    RpcClientView,
    check_name,
    peer_id,
    rack_uuid,
    require_admission,
    sort_candidates,
    token_error,
    token_hash,
)
from regiond.racks.rejections import Rejections
from regiond.racks.removal import Exposure, remove_rack, report_stolen
from regiond.racks.store import REMOVED_CHANNEL, REVOKED_CHANNEL
from regiond.racks.unreachable import ZoneCoverage
from regiond.racks.zone_store import UnservedHost
from regiond.racks.zones import change_zones, described, requested_zones, zones_of_token

if TYPE_CHECKING:
    from regiond.db.pool import Db

__all__ = [
    "REMOVED_CHANNEL", "REVOKED_CHANNEL", "Exposure", "HostCalls", "Racks", "add_rotation", "nothing_began",
    "read_installation_id", "without_secrets",
]  # fmt: skip

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

MAX_TOKEN_LIFETIME_S = 30 * 24 * 3600.0


async def read_installation_id(db: Db) -> UUID:
    """Returns the id that every ownership marker of this installation carries."""
    return await store.installation_id(db)


async def add_rotation(db: Db, rack_id: UUID, operation_id: int) -> None:
    """Records that the operation replaces credentials which a removed rack had. Idempotent."""
    await store.add_rotation(db, rack_id, operation_id)


class Racks:
    """`token_text` turns the secret of a token into the text that an administrator copies.

    Every region process listens on REMOVED_CHANNEL and REVOKED_CHANNEL, whose payload is the id of a rack or RPC client
    to disconnect at once.
    """

    def __init__(
        self,
        database: Database,
        authority: Authority,
        heartbeat: Heartbeat,
        *,
        token_text: Callable[[str], str],
        exposure: Exposure,
        rack_lifetime: timedelta = RACK_LIFETIME,
        client_lifetime: timedelta = CLIENT_LIFETIME,
    ) -> None:
        self._database = database
        self._authority = authority
        self._heartbeat = heartbeat
        self._token_text = token_text
        self._exposure = exposure
        self._rack_lifetime = rack_lifetime
        self._client_lifetime = client_lifetime
        self._rejections = Rejections(database)

    async def list(self, *, caller: Caller | None = None) -> tuple[RackView, ...]:
        """Returns the racks that are not removed, by name; for a caller with the hosts that it may see."""
        async with self._database.connection() as db:
            return await view_store.list_racks(db, caller=caller)

    async def regions(self, caller: Caller) -> tuple[RegionView, ...]:
        """Returns the region processes seen within ten minutes, the oldest first. Administrators only."""
        caller.require_admin()
        async with self._database.connection() as db:
            return await view_store.list_regions(db, self._heartbeat.region_id)

    async def read(self, rack_id: str, *, caller: Caller | None = None) -> RackView:
        """Returns a rack with what it reaches; a removed one with what becomes of its credentials. Raises NotFound."""
        async with self._database.connection() as db:
            found = await view_store.read_rack(db, rack_uuid(rack_id), caller=caller)
            if found is None:
                raise NotFound(f"There is no rack {rack_id}.")
            if found.removed_at is None:
                return found
            rotations = await view_store.list_rotations(db, found.id)
            return evolve(found, rotations=rotations, by_hand=await self._exposure.by_hand(db, found.id))

    # Membership ---------------------------------------------------------------------------------------------------

    async def create_token(
        self, caller: Caller | None, *, lifetime_s: float, zones: Sequence[str] | None = None
    ) -> str:
        """Returns a token with which one rack can join within `lifetime_s` (1 s to 30 days). Only its hash is stored.

        The rack serves `zones` (ids or names); None: all. `caller` is an administrator, None for a command on the
        region's computer.
        """
        if caller is not None:
            caller.require_admin()
        if not 1 <= lifetime_s <= MAX_TOKEN_LIFETIME_S:
            raise InvalidRequest.of({"lifetime_s": [f"Use 1 to {MAX_TOKEN_LIFETIME_S:.0f} seconds."]})
        secret = secrets.token_urlsafe(32)
        created_by = caller.account_id if caller else None
        async with self._database.transaction() as db:
            zone_ids = await requested_zones(db, zones)
            lifetime = timedelta(seconds=lifetime_s)
            until = await store.insert_token(db, token_hash(secret), created_by, lifetime, zone_ids)
            serves = "" if zone_ids is None else f" of {await described(db, zone_ids)}"
            message = f"Created a join token for one rack{serves}, valid until {until:%Y-%m-%d %H:%M} UTC."
            await Events.record(db, "rack_token_created", message, caller=caller)
        return self._token_text(secret)

    async def enrol(self, call: JoinCall) -> Joined:
        """Enrols a rack in one transaction: uses the token, signs the certificate and writes the row.

        Raises TokenRejected (`details["reason"]`: unknown, used, expired), NameTaken, InvalidRequest. A rack that
        joined but never connected does not block its name: it did not receive its certificate.
        """
        name, rack_id = check_name(call.name), uuid4()
        async with self._database.transaction() as db:
            used_hash = token_hash(call.token_secret)
            used = await store.use_token(db, used_hash, rack_id)
            if used is None:
                raise token_error(await store.token(db, used_hash))
            zone_ids = await zones_of_token(db, used.zone_ids)
            certificate_pem = self._sign_rack(call.signing_request_pem, rack_id, name)
            certificate = load_certificate(certificate_pem)
            try:
                until = certificate.not_valid_after_utc
                await store.insert(db, rack_id, name, fingerprint(certificate), until, zone_ids)
            except asyncpg.UniqueViolationError as error:
                raise NameTaken(f"A rack named {name!r} exists. Remove it first or choose another name.") from error
            message = f"The rack {name!r} joined; it serves {await described(db, zone_ids)}."
            await Events.record(db, "rack_joined", message, rack_id=rack_id)
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
        """Returns a new certificate for an admitted rack; the old one stays valid. Raises NotAllowed."""
        async with self._database.transaction() as db:
            known = await store.membership(db, rack_uuid(rack_id))
            name = require_admission(rack_id, known)
            certificate_pem = self._sign_rack(call.signing_request_pem, rack_uuid(rack_id), name)
            certificate = load_certificate(certificate_pem)
            until = certificate.not_valid_after_utc
            if await store.renew(db, rack_uuid(rack_id), fingerprint(certificate), until) is None:
                raise NotAllowed(f"The rack {name!r} was removed from this region.")
        log.info("rack_certificate_renewed", rack=name, expires_at=until.isoformat())
        return Renewed(certificate_pem=certificate_pem, authority_pem=self._authority.certificate_pem)

    async def remove(self, caller: Caller, rack_id: str, *, dry_run: bool = False) -> DeletionPlan:
        """Removes the rack; every region process disconnects it. Idempotent. Raises NotFound.

        Rotates the credentials that it has; `read` then shows how far that is.
        """
        caller.require_admin()

        async def remove(db: Db) -> DeletionPlan:
            return await remove_rack(db, caller, rack_uuid(rack_id), self._exposure)

        return await self._database.in_transaction(remove, dry_run=dry_run)

    async def report_stolen(self, caller: Caller, rack_id: str) -> RackView:
        """Removes the rack unless it is removed, and rotates whatever was ever sent to it. Idempotent. Raises NotFound.

        A stolen rack may have kept credentials that it was told to forget.
        """
        caller.require_admin()

        async def report(db: Db) -> None:
            await report_stolen(db, caller, rack_uuid(rack_id), self._exposure)

        await self._database.in_transaction(report)
        return await self.read(rack_id)

    async def update(self, caller: Caller, rack_id: str, *, zones: Sequence[str] | None) -> RackView:
        """Has the rack serve these zones (ids or names); None: all. Idempotent. Raises NotFound, InvalidRequest.

        At once it is asked nothing more about hosts of other zones; the link supervisor has it forget them.
        """
        caller.require_admin()
        async with self._database.transaction() as db:
            await change_zones(db, caller, rack_uuid(rack_id), zones)
        return await self.read(rack_id)

    # RPC clients --------------------------------------------------------------------------------------------------

    async def issue_client(self, caller: Caller, name: str) -> tuple[str, str, str]:
        """Returns (certificate, key, authority) as PEM for a program that acts as the caller. The key is not stored.

        It ends with the API key of the request. Raises InvalidRequest, and NameTaken while a client with that name is
        valid.
        """
        check_name(name)
        client_id = uuid4()
        subject = Subject(role=Role.CLIENT, id=str(client_id), name=name)
        async with self._database.transaction() as db:
            lifetime = await self._client_lifetime_of(db, caller.api_key_id)
            issued = self._authority.credentials_for(subject, lifetime)
            certificate = load_certificate(issued.certificate_pem)
            try:
                await store.insert_client(
                    db, client_id, name, caller.account_id, fingerprint(certificate),
                    certificate.not_valid_after_utc, api_key_id=caller.api_key_id,
                )  # fmt: skip
            except asyncpg.UniqueViolationError as error:
                raise NameTaken(f"An RPC client named {name!r} exists. Revoke it first.") from error
            except asyncpg.ForeignKeyViolationError as error:
                raise NotAllowed("The API key of this request was just deleted.") from error
            await Events.record(db, "rpc_client_issued", f"The RPC client {name!r} was issued.", caller=caller)
        return issued.certificate_pem, issued.key_pem, issued.authority_pem

    async def renew_client(self, peer: Peer, call: RenewCall) -> Renewed:
        """Returns a new certificate for an admitted client; the old one stays valid until it expires.

        Raises NotAllowed and InvalidRequest.
        """
        caller = await self.caller_of(peer)
        subject = Subject(role=Role.CLIENT, id=peer.id, name=peer.name)
        async with self._database.transaction() as db:
            lifetime = await self._client_lifetime_of(db, caller.api_key_id)
            certificate_pem = self._authority.sign(call.signing_request_pem, subject, lifetime)
            certificate = load_certificate(certificate_pem)
            until = certificate.not_valid_after_utc
            if not await store.renew_client(db, peer_id(peer), fingerprint(certificate), until):
                raise NotAllowed(f"The RPC client {peer.name!r} was revoked.")
        log.info("rpc_client_certificate_renewed", client=peer.name, expires_at=until.isoformat())
        return Renewed(certificate_pem=certificate_pem, authority_pem=self._authority.certificate_pem)

    async def _client_lifetime_of(self, db: Db, api_key_id: int | None) -> timedelta:
        """A certificate ends no later than its API key."""
        left = await store.key_lifetime(db, api_key_id)
        return self._client_lifetime if left is None else min(self._client_lifetime, left)

    async def clients(self, caller: Caller) -> tuple[RpcClientView, ...]:
        """Returns the caller's clients that are not revoked, for an administrator those of all, by name."""
        async with self._database.connection() as db:
            return await store.list_clients(db, account_id=None if caller.is_admin else caller.account_id)

    async def revoke_client(self, caller: Caller, name: str, *, dry_run: bool = False) -> DeletionPlan:
        """Revokes a client of the caller, or any client for an administrator; all regions disconnect it.

        Raises NotFound.
        """
        async with self._database.transaction(dry_run=dry_run) as db:
            revoked = None
            if "\0" not in name:
                revoked = await store.revoke_client(db, name, caller.account_id, of_any_account=caller.is_admin)
            if revoked is None:
                raise NotFound(f"You have no RPC client named {name!r}.")
            await Events.record(db, "rpc_client_revoked", f"The RPC client {name!r} was revoked.", caller=caller)
        record = AffectedRecord(kind="RPC client", id=str(revoked), name=name)
        return DeletionPlan(
            name=name, deleted=(record,), effects=("It is disconnected at once, and its certificate is rejected.",)
        )

    # Admission ----------------------------------------------------------------------------------------------------

    async def admit(self, peer: Peer) -> None:
        """Raises NotAllowed for a removed, revoked, disabled or unknown peer. The link has checked its certificate."""
        if peer.role is Role.CLIENT:
            await self.caller_of(peer)
            return
        if peer.role is not Role.RACK:
            raise NotAllowed(f"{peer} is neither a rack nor an RPC client.")
        async with self._database.connection() as db:
            known = await store.membership(db, peer_id(peer))
        try:
            require_admission(peer.id, known)
        except NotAllowed as error:
            await self._rejections.record_connection(peer, error)
            raise

    async def caller_of(self, peer: Peer) -> Caller:
        """Returns the account of an RPC client with its roles.

        Raises NotAllowed if client or account is unknown or disabled.
        """
        async with self._database.connection() as db:
            known = await store.client(db, peer_id(peer))
        if known is None or peer.fingerprint not in known.fingerprints:
            raise NotAllowed(f"The RPC client {peer.name!r} ({peer.id}) is unknown to this region.")
        if known.revoked_at is not None:
            raise NotAllowed(f"The RPC client {peer.name!r} was revoked on {known.revoked_at:%Y-%m-%d}.")
        if not known.is_active:
            raise NotAllowed(f"The account {known.caller.username!r} of the RPC client {peer.name!r} is disabled.")
        if known.key_is_expired:
            raise NotAllowed(f"The API key of the RPC client {peer.name!r} expired on {known.key_expires_at:%Y-%m-%d}.")
        async with self._database.connection() as db:
            return await with_grants(db, evolve(known.caller, api_key_id=known.api_key_id))

    async def region_addresses(self) -> tuple[str, ...]:
        """Returns the RPC addresses of all regions."""
        return await self._heartbeat.addresses()

    async def add_link(self, rack_id: str, *, release: str | None = None) -> None:
        """Records a new link of this process to the rack, and the release that the rack reported."""
        await self._heartbeat.add_link(rack_uuid(rack_id), release=release)

    async def remove_link(self, rack_id: str) -> None:
        """Records the end of a link of this process to the rack."""
        await self._heartbeat.remove_link(rack_uuid(rack_id))

    # Reach --------------------------------------------------------------------------------------------------------

    async def record_reach(self, rack_id: str, host_id: int, error: InnkeeperError | None = None) -> RecordedReach:
        """Records whether the rack reached the host, or `error`. Writes only changes."""
        async with self._database.connection() as db:
            try:
                return await store.record_reach(db, rack_uuid(rack_id), host_id, error)
            except asyncpg.ForeignKeyViolationError:
                return RecordedReach(changed=False)  # host or rack was just deleted

    async def record_rejection(self, rack_id: str, host_id: int | None, reason: str) -> None:
        """Records that a response or event of the rack was rejected."""
        await self._rejections.record_response(rack_id, host_id, reason)

    async def racks_for(self, host_id: int) -> tuple[RackCandidate, ...]:
        """Returns the connected racks in the order to try them."""
        async with self._database.connection() as db:
            return sort_candidates(await store.candidates(db, host_id, self._heartbeat.region_id))

    async def disconnected_racks(self, host_id: int) -> tuple[DisconnectedRack, ...]:
        """Returns racks whose last attempt reached the host and that have no link now."""
        async with self._database.connection() as db:
            return await store.disconnected_racks(db, host_id)

    async def untried_hosts(self) -> tuple[tuple[UUID, int], ...]:
        """Returns (rack, host) pairs of linked racks and ready hosts without any attempt, at most 1000."""
        async with self._database.connection() as db:
            return await store.untried_hosts(db, self._heartbeat.region_id)

    async def unreached_hosts(self) -> tuple[int, ...]:
        """Returns ready hosts that no connected rack reaches."""
        async with self._database.connection() as db:
            return await store.unreached_hosts(db)

    # Zones --------------------------------------------------------------------------------------------------------

    async def zone_coverage(self, host_id: int) -> ZoneCoverage | None:
        """Returns which racks serve the zone of the host; None if there is no such host."""
        async with self._database.connection() as db:
            return await zone_store.coverage(db, host_id)

    async def served_hosts(self) -> Mapping[UUID, frozenset[int]]:
        """Returns the hosts that each rack linked to this process serves. A rack of all zones is left out."""
        async with self._database.connection() as db:
            return await zone_store.served_hosts(db, self._heartbeat.region_id)

    async def unserved_hosts(self) -> tuple[UnservedHost, ...]:
        """Returns hosts whose credentials linked racks have although they do not serve their zones, at most 1000."""
        async with self._database.connection() as db:
            return await zone_store.unserved_hosts(db, self._heartbeat.region_id)

    async def record_forgotten(self, unserved: UnservedHost) -> None:
        """Records that the rack deleted the credentials."""
        async with self._database.connection() as db:
            await credential_service.record_forgotten(db, unserved.rack_id, unserved.host_id, unserved.seen_at)

    def _sign_rack(self, signing_request_pem: str, rack_id: UUID, name: str) -> str:
        subject = Subject(role=Role.RACK, id=str(rack_id), name=name)
        return self._authority.sign(signing_request_pem, subject, self._rack_lifetime)
