"""Reads what goes along with one machine and what forbids its deletion, as its host has it now."""

from __future__ import annotations

from uuid import UUID

import structlog

from common.errors import InnkeeperError
from common.rpc.host_commands import HOST_FIND, GuestCall
from regiond.db.pool import Database
from regiond.machines import removal_fact_store
from regiond.machines.guest_spec import known_spec
from regiond.machines.model import MachineView
from regiond.racks.service import HostCalls

FIND_DEADLINE_S = 3.0  # a person waits for the plan

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


async def update_facts(
    database: Database, calls: HostCalls, machine: MachineView, installation_id: UUID, *, if_protected: bool = False
) -> None:
    """Records the facts, which may have changed since the last refresh; with `if_protected` only of a machine whose
    guest was protected then. Those of the last refresh stay if the host does not answer.
    """
    if machine.host_id is None:
        return
    if if_protected:
        async with database.connection() as db:
            facts = await removal_fact_store.facts_of(db, [machine.id])
        if machine.id not in facts or not facts[machine.id].protection:
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
            await removal_fact_store.record(db, machine.id, found.guest.removal)
