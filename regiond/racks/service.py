"""Enrols, lists, changes and removes racks."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import structlog
from attrs import evolve

from common.errors import InvalidRequest, NameTaken, NotAllowed, NotFound
from common.rpc.commands.region_commands import JoinCall, Joined, RenewCall, Renewed
from common.trust.certificates import RACK_LIFETIME, Role, Subject, fingerprint, load_certificate
from regiond.db.pool import Database, Db, reading
from regiond.events.service import Events
from regiond.racks import store, view_store
from regiond.racks.admission_model import check_name, rack_uuid, require_admission, token_error, token_hash
from regiond.racks.enrolment.authority import Authority
from regiond.racks.model import RackView, RegionView
from regiond.racks.reach.zones import change_zones, described, requested_zones, zones_of_token
from regiond.racks.removal import Exposure, remove_rack, report_stolen
from regiond.requests.audience import shown_to
from regiond.requests.caller import Caller
from regiond.requests.deletion_plan import DeletionPlan

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

MAX_TOKEN_LIFETIME_S = 30 * 24 * 3600.0


async def read_installation_id(db: Db) -> UUID:
    """Returns the id that every ownership marker of this installation carries."""
    return await store.installation_id(db)


async def add_rotation(db: Db, rack_id: UUID, operation_id: int) -> None:
    """Records that the operation replaces credentials which a removed rack had. Idempotent."""
    await store.add_rotation(db, rack_id, operation_id)


class Racks:
    """The racks of an installation. `token_text` makes the text that an administrator copies from a token's secret.

    Every region process listens on REMOVED_CHANNEL, whose payload is the id of a rack to disconnect at once.
    `region_id` is the id of this process.
    """

    def __init__(
        self,
        database: Database,
        authority: Authority,
        region_id: UUID,
        *,
        token_text: Callable[[str], str],
        exposure: Exposure,
        rack_lifetime: timedelta = RACK_LIFETIME,
    ) -> None:
        self._database = database
        self._authority = authority
        self._region_id = region_id
        self._token_text = token_text
        self._exposure = exposure
        self._rack_lifetime = rack_lifetime

    list = reading(view_store.list_racks)
    of_host = reading(view_store.racks_of_host)

    async def regions(self, caller: Caller) -> tuple[RegionView, ...]:
        """Returns the region processes seen within ten minutes, the oldest first. Administrators only."""
        caller.require_admin()
        async with self._database.connection() as db:
            return await view_store.list_regions(db, self._region_id)

    async def read(self, rack_id: str, *, caller: Caller | None = None) -> RackView:
        """Returns a rack with its reach; a removed rack with the replacement of its credentials. Raises NotFound."""
        async with self._database.connection() as db:
            found = await view_store.read_rack(db, rack_uuid(rack_id), caller=caller)
            if found is None:
                raise NotFound(f"There is no rack {rack_id}.")
            if found.removed_at is None:
                return found
            rotations = await view_store.list_rotations(db, found.id)
            by_hand = await self._exposure.by_hand(db, found.id)
            return shown_to(caller, evolve(found, rotations=rotations, by_hand=by_hand))

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
                raise NameTaken(
                    f"A rack named {name!r} exists. Join under another name, with the same token: "
                    f"rackd join --name NAME -. To replace that rack, remove it first: innkeeper rack delete {name}."
                ) from error
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

        Rotates the credentials that it has; `read` then shows the progress.
        """
        caller.require_admin()

        async def remove(db: Db) -> DeletionPlan:
            return await remove_rack(db, caller, rack_uuid(rack_id), self._exposure)

        return await self._database.in_transaction(remove, dry_run=dry_run)

    async def report_stolen(self, caller: Caller, rack_id: str) -> RackView:
        """Removes the rack unless it is removed, and rotates all that was ever sent to it. Idempotent. Raises NotFound.

        A stolen rack may have kept credentials that a region asked it to delete.
        """
        caller.require_admin()

        async def report(db: Db) -> None:
            await report_stolen(db, caller, rack_uuid(rack_id), self._exposure)

        await self._database.in_transaction(report)
        return await self.read(rack_id)

    async def update(self, caller: Caller, rack_id: str, *, zones: Sequence[str] | None) -> RackView:
        """Has the rack serve these zones (ids or names); None: all. Idempotent. Raises NotFound, InvalidRequest.

        From now on, no region calls it about hosts of other zones; the link supervisor has it forget them.
        """
        caller.require_admin()
        async with self._database.transaction() as db:
            await change_zones(db, caller, rack_uuid(rack_id), zones)
        return await self.read(rack_id)

    def _sign_rack(self, signing_request_pem: str, rack_id: UUID, name: str) -> str:
        subject = Subject(role=Role.RACK, id=str(rack_id), name=name)
        return self._authority.sign(signing_request_pem, subject, self._rack_lifetime)
