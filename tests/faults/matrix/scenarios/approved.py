"""What a person approves of what the reconciler found: a volume is removed, and a copy of a machine loses its mark."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import uuid4

from attrs import frozen

from common.marks import volume_name
from common.units import BYTES_PER_GB
from common.values import Mark
from innkeeper.http import Body
from rackd.drivers.simulated import guests
from regiond.operations.model import OperationKind
from regiond.reconciler.model import Kind
from tests.faults.matrix.caller import headers
from tests.faults.matrix.held import rows, store_of
from tests.faults.matrix.inn import Inn
from tests.faults.matrix.scenario import SUCCEEDS, Asked, Told
from tests.faults.matrix.scenarios import passing
from tests.faults.matrix.scenarios.adopting import Guest, as_it_is, changed, vanish
from tests.faults.matrix.scenarios.hosts import OfHosts
from tests.faults.matrix.scenarios.leftovers import made_by_a_straggler, mark_of
from tests.faults.matrix.scenarios.machines import Made, compose, first_host, machines_are

_TOLD = "select count(*) from event where kind = $1 and id > $2"
_NEWEST_EVENT = "select coalesce(max(id), 0) from event"


@frozen(kw_only=True)
class Found:
    """What differs: `name` on `host`. `machine` is ours and stays; the rest is what there was before."""

    host: str
    name: str
    machine: Made
    after: int
    events: int
    guest: Guest | None = None  # the copy

    @classmethod
    async def of(cls, inn: Inn, host: str, name: str, machine: Made, *, guest: Guest | None = None) -> Found:
        """Once a look at the host has seen it."""
        await inn.installed.post(f"vm-hosts/{inn.hosts[host]}/", op="refresh")
        after, events = await inn.newest_operation(), await inn.db.fetchval(_NEWEST_EVENT)
        return cls(host=host, name=name, machine=machine, after=after, events=events, guest=guest)


class Approved(OfHosts):
    """Whoever hears no answer looks whether what was approved has begun, or is to be approved still."""

    kinds = (OperationKind.CLEAN_UP,)
    ends = SUCCEEDS
    about: Kind

    async def ask(self, inn: Inn, ground: Found, key: str) -> Asked:
        if (begun := await passing.opened(inn, OperationKind.CLEAN_UP, ground.after)) is not None:
            return Asked(operation_id=begun)
        shown = [
            one for one in await inn.installed.get(f"differences/?kind={self.about}") if one["name"] == ground.name
        ]
        body = Body(fields=[("etag", one["etag"]) for one in shown])
        path = f"differences/{shown[0]['id']}/"
        await inn.installed.api.send("POST", path, query=[("op", "approve")], body=body, headers=headers(key))
        return Asked(operation_id=await passing.opened(inn, OperationKind.CLEAN_UP, ground.after))

    async def told_once(self, inn: Inn, ground: Found, *kinds: str) -> Iterable[str]:
        """What is wrong with what the events tell."""
        found = {kind: await inn.db.fetchval(_TOLD, kind, ground.events) for kind in kinds}
        return [f"{kind} was told {times} times" for kind, times in found.items() if times != 1]


class RemoveVolume(Approved):
    """It carries the mark of a machine of which the ledger has never heard, and no guest has it."""

    name = "clean_up_volume"
    about = Kind.UNUSED_VOLUME

    async def prepare(self, inn: Inn) -> Found:
        machine = await compose(inn)
        ours = await mark_of(inn, machine)
        mark = Mark(installation_id=ours.installation_id, machine_id=uuid4())
        name = volume_name(mark, 0)
        with store_of(inn, machine.host) as store:
            guests.add_volume(store, pool="default", name=name, size_bytes=BYTES_PER_GB, mark=mark)
        return await Found.of(inn, machine.host, name, machine)

    async def check(self, inn: Inn, ground: Found, told: Told) -> Iterable[str]:
        left = rows(inn, ground.host, "select name from volume where name = ?", ground.name)
        return [
            *([f"the volume is there: {left}"] if left else []),
            *await machines_are(inn, ground.machine.hostname),
            *await self.told_once(inn, ground, "difference_mended", "unused_volume_removed"),
        ]


class UnmarkCopy(Approved):
    """Somebody restored a machine's backup on another host, with the mark. Nothing of the copy is removed."""

    name = "clean_up_copy"
    about = Kind.SECOND_GUEST

    async def prepare(self, inn: Inn) -> Found:
        machine = await compose(inn)
        host = next(name for name in inn.hosts if name != first_host(inn))
        name = inn.new_name("copy")
        made_by_a_straggler(inn, host, name, await mark_of(inn, machine))
        return await Found.of(inn, host, name, machine, guest=as_it_is(inn, host, name))

    async def check(self, inn: Inn, ground: Found, told: Told) -> Iterable[str]:
        assert ground.guest is not None
        return [
            *changed(inn, ground.guest, marked=False),
            *await machines_are(inn, ground.machine.hostname),
            *await self.told_once(inn, ground, "difference_mended", "copy_unmarked"),
        ]

    def foreign(self, ground: Found) -> frozenset[str]:
        return frozenset({ground.name})

    async def clear(self, inn: Inn, ground: Found) -> None:
        assert ground.guest is not None
        await vanish(inn, ground.guest)
