"""An administrator approves repairs: a volume or restored guest is removed, and a copied guest loses its marker."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from uuid import uuid4

from attrs import frozen

from common.disks.volume_names import volume_name
from common.values import OwnershipMarker
from common.words.operation_kinds import OperationKind
from innkeeper.answer import Answer
from regiond.reconciler.model import DiscrepancyKind
from tests.faults.scenarios.adoption import HostGuest, remove_guest, snapshot, unexpected_changes
from tests.faults.scenarios.cell_hosts import GuestHost, SimulatedCellHost
from tests.faults.scenarios.cleanup import add_marked_guest, marker_of
from tests.faults.scenarios.machines import HostMachine, composed, unexpected_machines
from tests.faults.scenarios.scenario import SUCCEEDS, Outcome, Request, Response, UnkeyedScenario, problem
from tests.faults.scenarios.site import Site, simulated

_EVENTS = "select count(*) from event where kind = $1 and id > $2"
_FORGET_ID = "update tombstone set guest_key = null where machine_uuid = $1"
_NEWEST_EVENT = "select coalesce(max(id), 0) from event"


@frozen(kw_only=True)
class ReportedObject:
    """What a discrepancy is about: `name` on `host`. `machine` is unaffected."""

    host: GuestHost
    name: str
    machine: HostMachine
    after: int
    events: int
    copy: HostGuest | None = None


async def reported(
    site: Site, host: GuestHost, name: str, machine: HostMachine, *, copy: HostGuest | None = None
) -> ReportedObject:
    """Refreshes the host, so that the region knows the object."""
    await site.refresh(host)
    after, events = await site.newest_operation(), await site.fetchval(_NEWEST_EVENT)
    return ReportedObject(host=host, name=name, machine=machine, after=after, events=events, copy=copy)


class ApproveRepair(UnkeyedScenario):
    """A caller without an answer checks whether the repair has begun."""

    kinds = (OperationKind.CLEAN_UP,)
    ends = SUCCEEDS
    waits = False
    discrepancy: DiscrepancyKind

    async def request(self, site: Site, state: ReportedObject) -> Request:
        listed = await site.deployment.get(f"discrepancies/?kind={self.discrepancy}")
        shown = next(one for one in listed if one["name"] == state.name)
        return Request(path=f"discrepancies/{shown['id']}/", op="approve", fields={"etag": shown["etag"]})

    async def known(self, site: Site, state: ReportedObject) -> Response | None:
        begun = await site.opened(OperationKind.CLEAN_UP, state.after)
        return None if begun is None else Response(operation_id=begun)

    async def answered(self, site: Site, state: ReportedObject, answer: Answer) -> Response:
        return Response(operation_id=await site.opened(OperationKind.CLEAN_UP, state.after))

    async def not_reported_once(self, site: Site, state: ReportedObject, *kinds: str) -> Iterable[str]:
        """A problem for each kind of event that was not recorded exactly once."""
        found = {kind: await site.fetchval(_EVENTS, kind, state.events) for kind in kinds}
        return [f"{number} events {kind}" for kind, number in found.items() if number != 1]


class RemoveVolume(ApproveRepair):
    """The volume carries the marker of a machine that the ledger does not know; no guest uses it."""

    name = "clean_up_volume"
    discrepancy = DiscrepancyKind.ORPHANED_VOLUME

    async def prepare(self, site: Site) -> ReportedObject:
        machine = await composed(site)
        ours = await marker_of(site, machine)
        marker = OwnershipMarker(installation_id=ours.installation_id, machine_id=uuid4())
        name = volume_name(marker, 0)
        assert isinstance(machine.host, SimulatedCellHost)
        await asyncio.to_thread(machine.host.file.add_volume, name, marker)
        return await reported(site, machine.host, name, machine)

    async def check(self, site: Site, state: ReportedObject, outcome: Outcome) -> Iterable[str]:
        left = await asyncio.to_thread(state.host.marked)
        return [
            *problem("the volume still exists", when=state.name in left),
            *await unexpected_machines(site, state.machine.hostname),
            *await self.not_reported_once(site, state, "discrepancy_repaired", "orphaned_volume_removed"),
        ]


class DeleteRestored(ApproveRepair):
    """The guest may be restored: its machine was deleted by a release that did not record the id of its guest."""

    name = "clean_up_restored"
    discrepancy = DiscrepancyKind.LEFTOVER_GUEST

    async def prepare(self, site: Site) -> ReportedObject:
        kept, machine = await composed(site), await composed(site)
        marker = await marker_of(site, machine)
        await site.deployment.delete(machine.path)
        await site.fetch(_FORGET_ID, marker.machine_id)
        name = site.new_name("restored")
        await add_marked_guest(machine.host, name, marker)
        return await reported(site, machine.host, name, kept)

    async def check(self, site: Site, state: ReportedObject, outcome: Outcome) -> Iterable[str]:
        gone = await asyncio.to_thread(state.host.count, state.name, "gone")
        return [
            *problem(f"the guest was removed {gone} times", when=gone != 1),
            *await unexpected_machines(site, state.machine.hostname),
            *await self.not_reported_once(site, state, "discrepancy_repaired"),
        ]


class UnmarkCopy(ApproveRepair):
    """A backup of a machine's guest was restored on another host, with the marker. Nothing of the copy is removed."""

    name = "clean_up_copy"
    discrepancy = DiscrepancyKind.DUPLICATE_GUEST

    async def prepare(self, site: Site) -> ReportedObject:
        machine = await composed(site)
        host = await simulated(site).other_host()
        name = site.new_name("copy")
        await add_marked_guest(host, name, await marker_of(site, machine))
        return await reported(site, host, name, machine, copy=await snapshot(host, name))

    async def check(self, site: Site, state: ReportedObject, outcome: Outcome) -> Iterable[str]:
        assert state.copy is not None
        return [
            *await unexpected_changes(state.copy, marked=False),
            *await unexpected_machines(site, state.machine.hostname),
            *await self.not_reported_once(site, state, "discrepancy_repaired", "copy_unmarked"),
        ]

    def changed_guests(self, state: ReportedObject) -> frozenset[str]:
        return frozenset({state.name})

    async def clear(self, site: Site, state: ReportedObject) -> None:
        assert state.copy is not None
        await remove_guest(site, state.copy)
