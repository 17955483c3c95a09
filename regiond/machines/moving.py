"""The next host of a compose whose host could not make the machine: chosen anew, and written in place of the last."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from attrs import frozen

from common.errors import InvalidRequest, OutOfCapacity, RackUnreachable, WrongState
from common.values import GuestSpec, NicAddress
from common.wire import from_plain, to_plain
from regiond.machines import compose_store
from regiond.machines.claiming import claim_all, new_spec, told_addresses
from regiond.machines.composing import Composer
from regiond.machines.model import Intent
from regiond.machines.store import Taken
from regiond.operations import store as operation_store
from regiond.operations.model import Operation
from regiond.placement.model import HostOffer, Placement, Verdict, Wish

if TYPE_CHECKING:
    from regiond.db.pool import Db

ALTERNATIVES = 5  # of a placement, for the case that others take the room of the best


@frozen(kw_only=True)
class Alternative:
    """A host that would do, with all that has to be read of it before claims are made."""

    verdict: Verdict
    host: HostOffer
    told: Mapping[str, NicAddress]


@frozen(kw_only=True)
class NextHosts:
    """Where a machine may go now, best first, and what the placement said of all hosts."""

    intent: Intent
    wish: Wish
    placement: Placement
    alternatives: tuple[Alternative, ...]


def intent_of(operation: Operation) -> Intent | None:
    """None of a compose on a named host: there is no other."""
    kept = operation.request.get("intent")
    return None if kept is None else from_plain(kept, Intent)


class Mover:
    def __init__(self, composer: Composer, *, installation_id: UUID) -> None:
        self._composer = composer
        self._installation_id = installation_id

    async def next_hosts(self, operation: Operation, tried: Collection[int]) -> NextHosts | None:
        """None when the compose names its host, or what it asks for is there no more. Reads only.

        A machine's own claims count against it, so it gives them back before. No alternatives: no other host fits.
        Raises RackUnreachable while no rack is connected to this region, which says nothing of the hosts.
        """
        intent = intent_of(operation)
        if intent is None:
            return None
        had_racks = self._composer.has_racks
        try:
            wish, placement, hosts = await self._composer.place_again(intent, tried, machine_id=operation.machine_id)
        except InvalidRequest:
            return None
        if placement.chosen is None and not (had_racks and self._composer.has_racks):
            raise RackUnreachable("No rack is connected to this region, so no other host can be chosen yet.")
        found = [
            Alternative(
                verdict=verdict,
                host=hosts[verdict.host_id],
                told=await told_addresses(self._composer.database, verdict),
            )
            for verdict in placement.order[:ALTERNATIVES]
        ]
        return NextHosts(intent=intent, wish=wish, placement=placement, alternatives=tuple(found))

    async def move(
        self, db: Db, operation: Operation, machine_id: int, found: NextHosts, tried: Collection[Mapping[str, Any]]
    ) -> HostOffer:
        """Claim on the best alternative that has the room still, and make machine and operation about that host.

        The machine gets a new mark: what a straggler makes with the old one is told from it. Inside the caller's
        transaction, which has to roll back on OutOfCapacity: others took all of the room meanwhile.
        """
        for one in found.alternatives:
            spec = new_spec(
                found.wish, one.verdict, one.host, operation.hostname or "", self._installation_id, one.told
            )
            try:
                async with db.transaction():  # a lost race gives back the locks of that host
                    await self._write(db, machine_id, spec, one, found)
            except (OutOfCapacity, WrongState, Taken):
                continue
            explanation = {**found.placement.as_explanation(one.verdict), "tried": [dict(each) for each in tried]}
            await operation_store.redirect(
                db, operation.id, host_id=one.host.id, host_name=one.host.name,
                request={**operation.request, "spec": to_plain(spec)}, explanation=explanation,
            )  # fmt: skip
            return one.host
        raise OutOfCapacity("Other requests took the room on every other host first.")

    async def _write(self, db: Db, machine_id: int, spec: GuestSpec, one: Alternative, found: NextHosts) -> None:
        await compose_store.rewrite(
            db, machine_id, spec, host_id=one.host.id,
            pool_id=one.host.pool_id if found.intent.request.pool is None else None,
            zone_id=one.host.zone_id if found.intent.in_zone_of_host else None,
            tags=one.host.tags, storage_pool_ids=one.verdict.storage_pool_ids, nics=one.verdict.nics,
        )  # fmt: skip
        await claim_all(db, one.host.id, machine_id, found.wish, one.verdict)
