"""SQL of what the last refresh found on the end of machines' guests; see `common/removal_facts.py`."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from common.errors import WrongState
from common.removal_facts import NO_REMOVAL_FACTS, RemovalFacts
from common.serialization import from_dict
from regiond.db.pool import Db
from regiond.machines.model import MachineView

_FACTS = "select machine_id, removal from guest where machine_id = any($1::integer[]) and removal <> '{}'"


async def facts_of(db: Db, machine_ids: Collection[int]) -> Mapping[int, RemovalFacts]:
    """Returns the facts by machine id, without machines of which there is nothing to say."""
    rows = await db.fetch(_FACTS, list(machine_ids))
    return {row["machine_id"]: from_dict(row["removal"], RemovalFacts) for row in rows}


async def check_deletable(db: Db, machine: MachineView) -> None:
    """Raises WrongState if the host is known to refuse the deletion of the machine's guest."""
    facts = (await facts_of(db, [machine.id])).get(machine.id, NO_REMOVAL_FACTS)
    check_not_protected(machine, facts)


def check_not_protected(machine: MachineView, facts: RemovalFacts) -> None:
    """Raises WrongState as `check_deletable`."""
    if facts.protection:
        raise WrongState(
            f"{machine.hostname} is protected on {machine.host_name}, so that it is not deleted: {facts.protection} "
            f"Innkeeper knows it after the next refresh: innkeeper vm-host refresh {machine.host_name}",
            system_id=machine.system_id,
        )
