"""Takes over VM hosts of a watched MAAS one by one, and gives a host back until the first change."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from attrs import frozen

from common.errors import Busy, WrongState
from common.words.phrases import first_of, number_of
from regiond.db.pool import Database, Db
from regiond.events.service import Events
from regiond.hosts.maintenance.changes import begin_maintenance
from regiond.maas.imports import store as import_store
from regiond.maas.imports.model import LEAVE_OUT, PARALLEL_RUN, Choices, MaasImport
from regiond.maas.imports.service import MaasImports, TakenHost
from regiond.maas.imports.statuses import in_motion
from regiond.maas.parallel import store
from regiond.maas.parallel.model import Difference, GivenBack, WatchedHost
from regiond.maas.parallel.store import TakenMachine
from regiond.maas.parallel.watch import Comparisons
from regiond.machines.arrivals.adoption.intents import open_forget
from regiond.machines.core.view_store import read as read_machine
from regiond.operations.idempotency.model import IdempotencyKey
from regiond.operations.model import Operation
from regiond.requests.caller import Caller

# Of the reading by which a host is taken over, since its begin: it may take half of that.
MAX_AGE = timedelta(minutes=30)
_MAX_NAMED = 5


@frozen(kw_only=True)
class Handover:
    """Methods raise NotAllowed if the caller is no administrator, and WrongState for a host that no import watches."""

    database: Database
    imports: MaasImports
    comparisons: Comparisons
    installation_id: UUID

    async def start_take_over(
        self,
        caller: Caller,
        host_id: int,
        *,
        force: bool = False,
        choices: Choices | None = None,
        idempotency_key: IdempotencyKey | None = None,
    ) -> Operation:
        """Opens the operation that adopts the host's machines and ends its maintenance, or returns the open one.

        Raises WrongState if Innkeeper has it already, if the last reading is old, MAAS is at work on one of its
        machines that is not left out, a conflict has no choice, or, without `force`, if something differs; Busy while
        something else is imported from that MAAS or a machine of the host is being given back.
        """
        caller.require_admin()

        async def open_() -> Operation:
            return await self._open_take_over(caller, host_id, choices or {}, idempotency_key, force=force)

        return await self.imports.operations.idempotent(idempotency_key, open_)

    async def _open_take_over(
        self, caller: Caller, host_id: int, decided: Choices, idempotency_key: IdempotencyKey | None, *, force: bool
    ) -> Operation:
        async with self.database.connection() as db:
            host = await _watched(db, host_id)
        if host.taken_at is not None:
            raise WrongState(f"{host.host_name} was taken over at {host.taken_at:%Y-%m-%d %H:%M} UTC.", host=host_id)
        more = await self.comparisons.compare(host.import_id)  # the host may be new, or have changed since
        async with self.database.connection() as db:
            differences = await store.differences(db, host.import_id, host_id)
            more = await store.more_differences(db, host.import_id) if more is None else more
            forgets = await store.open_forget_of(db, host_id)
        found = await self.imports.read(caller, host.import_id)
        if forgets is not None:
            raise Busy(f"Operation {forgets} still gives {host.host_name} back to MAAS.", operation=forgets)
        await self._check_fresh(found)
        await self._check_idle(host, decided)
        if differences and not force:
            raise WrongState(_differs(host, differences), differences=len(differences))
        if more and not force:
            raise WrongState(
                f"{more} more differences of that MAAS are not shown; they may be of {host.host_name}. Mend those that "
                "are shown first, or take it over with force=true."
            )
        taken = TakenHost(host_id=host_id, host_name=host.host_name, source_id=host.source_id)
        return await self.imports.start_host(
            caller, host.import_id, taken, decided, idempotency_key=idempotency_key
        )  # fmt: skip

    async def give_back(self, caller: Caller, host_id: int, *, dry_run: bool = False) -> GivenBack:
        """Makes MAAS be in charge of the host again: its machines are forgotten, and its VMs do not change.

        Raises WrongState with the machines on which something has changed since the host was taken over, and Busy
        while something is imported from that MAAS.
        """
        caller.require_admin()
        async with self.database.connection() as db:
            import_id = (await _watched(db, host_id)).import_id
        found = await self.imports.read(caller, import_id)
        async with self.database.transaction(dry_run=dry_run) as db:
            active = await import_store.open_operation_of(db, import_id)
            host = await _watched(db, host_id, lock=True)
            if active is not None:
                raise Busy(f"Operation {active} imports from that MAAS. Wait for its end.", operation=active)
            machines = await store.machines(db, host_id)
            if host.taken_at is None and not any(one.imported for one in machines):
                raise WrongState(f"MAAS is in charge of {host.host_name} already.", host=host_id)
            _check_unchanged(host, machines)
            return await self._give_back(db, caller, found, host, machines)

    async def _give_back(
        self, db: Db, caller: Caller, found: MaasImport, host: WatchedHost, machines: Iterable[TakenMachine]
    ) -> GivenBack:
        await begin_maintenance(db, caller, [host.host_id], found.in_charge, holder=PARALLEL_RUN)
        await store.give_back(db, host.host_id)
        opened = {}
        for one in machines:
            opened[one.hostname] = one.forget_id or await open_forget(
                db, await read_machine(db, one.system_id), self.installation_id, account_id=caller.account_id
            )
        message = f"{host.host_name} was given back to the MAAS at {found.origin.label}"
        await Events.record(db, "maas_host_given_back", message, caller=caller, host_id=host.host_id)
        return GivenBack(
            host_id=host.host_id, host_name=host.host_name, machines=tuple(opened), operations=tuple(opened.values())
        )  # of a dry run, the operations do not exist afterwards

    async def _check_fresh(self, found: MaasImport) -> None:
        async with self.database.connection() as db:
            age = await store.now(db) - found.read_at
        if age > MAX_AGE:
            ago = f"{age.total_seconds() / 60:.0f} minutes ago." + (f" {found.problem}" if found.problem else "")
            raise WrongState(
                f"The MAAS at {found.origin.label} was read {ago} Read it again first: innkeeper maas-import compare "
                f"{found.id}"
            )

    async def _check_idle(self, host: WatchedHost, choices: Choices) -> None:
        inventory = await self.imports.inventories.read(host.import_id)
        at_work = [
            f"{one.hostname} ({in_motion(one.status)})"
            for one in inventory.machines
            if one.host_id == host.source_id
            and in_motion(one.status)
            and choices.get(("machines", one.system_id)) != LEAVE_OUT
        ]
        if at_work:
            raise WrongState(
                f"MAAS is at work on {number_of(len(at_work), 'machine')} of {host.host_name}: "
                f"{first_of(at_work, _MAX_NAMED)}. Wait until that has ended and compare again: innkeeper maas-import "
                f"compare {host.import_id}. Or leave one out: choice=machines:ID=leave_out",
                machines=len(at_work),
            )


async def _watched(db: Db, host_id: int, *, lock: bool = False) -> WatchedHost:
    host = await store.watched_host(db, host_id, lock=lock)
    if host is None:
        raise WrongState(
            "No MAAS that is watched has this host. Begin: innkeeper import maas --watch --url URL --key KEY",
            host=host_id,
        )
    return host


def _differs(host: WatchedHost, differences: Iterable[Difference]) -> str:
    named = [str(one) for one in differences]
    return (
        f"{number_of(len(named), 'difference')} between MAAS and {host.host_name}. {first_of(named, _MAX_NAMED)}. "
        f"Mend them and compare again: innkeeper maas-import compare {host.import_id}. Or take it over as it is: "
        "force=true"
    )


def _check_unchanged(host: WatchedHost, machines: Iterable[TakenMachine]) -> None:
    """Raises WrongState that names what was changed since the host was taken over."""
    changed = [f"{one.hostname}: {reason}" for one in machines if (reason := _change_of(one))]
    if changed:
        raise WrongState(
            f"{host.host_name} cannot be given back: something was changed on {number_of(len(changed), 'machine')}. "
            f"{first_of(changed, _MAX_NAMED)}. MAAS does not know of that. What helps: forget or delete those machines "
            "one by one, and compare the rest by hand.",
            machines=len(changed),
        )


def _change_of(machine: TakenMachine) -> str:
    if machine.change is not None:
        return machine.change
    if not machine.imported:
        return "it did not come from MAAS, or was released since"
    return "" if machine.is_recorded else "its adoption was too long ago to say that nothing changed"
