"""Reads what goes along with one machine and what forbids its deletion, as its host has it now."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

import structlog
from attrs import evolve

from common.errors import InnkeeperError
from common.removal_facts import NO_REMOVAL_FACTS, RemovalFacts
from common.rpc.commands.host_commands import HOST_FIND, GuestCall
from regiond.db.pool import Database
from regiond.machines.core.guest_spec import known_spec
from regiond.machines.remains import removal_fact_store
from regiond.machines.values.model import MachineView
from regiond.racks.calls.host_calls import HostCalls

FIND_DEADLINE_S = 3.0  # a person waits for the plan

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


async def update_facts(
    database: Database, calls: HostCalls, machine: MachineView, installation_id: UUID, *, if_protected: bool = False
) -> None:
    """Records the facts, which may have changed since the last refresh; with `if_protected` only of a machine whose
    guest was protected then. Those of the last refresh stay if the host does not answer, and so does what a driver
    finds only when it lists all guests, such as who else has a volume.
    """
    if machine.host_id is None:
        return
    async with database.connection() as db:
        known = (await removal_fact_store.facts_of(db, [machine.id])).get(machine.id, NO_REMOVAL_FACTS)
    if if_protected and not known.protection:
        return
    ref = known_spec(machine, installation_id).ref
    try:
        found = await calls.call(
            machine.host_id,
            HOST_FIND,
            lambda access: GuestCall(access=access, guest=ref),
            deadline_s=FIND_DEADLINE_S,
        )
    except InnkeeperError as error:
        log.info("removal_facts_not_read", system_id=machine.system_id, reason=error.message)
        return
    if found.guest is not None:
        async with database.transaction() as db:
            await removal_fact_store.record(db, machine.id, _together(known, found.guest.removal))


def _together(known: RemovalFacts, now: RemovalFacts) -> RemovalFacts:
    return evolve(
        now,
        snapshots=_all(known.snapshots, now.snapshots),
        shared_volumes=_all(known.shared_volumes, now.shared_volumes),
        layers=_all(known.layers, now.layers),
    )


def _all(*names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for some in names for name in some))
