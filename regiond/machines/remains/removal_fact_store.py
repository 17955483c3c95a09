"""SQL of what the last refresh found on the end of machines' guests; see `common/removal_facts.py`."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from common.errors import WrongState
from common.removal_facts import NO_REMOVAL_FACTS, RemovalFacts
from common.serialization import from_dict, to_dict
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Db
from regiond.machines.values.model import MachineView

_FACTS = "select machine_id, removal from guest where machine_id = any($1::integer[]) and removal <> '{}'"
_RECORD = "update guest set removal = $2 where machine_id = $1 and removal <> $2"
_STAYING = """
    select array(select p.name || '/' || d.volume
                   from machine_disk d join storage_pool p on p.id = d.storage_pool_id
                  where d.machine_id = g.machine_id and d.origin <> 'foreign'
                    and g.removal -> 'shared_volumes' ? (p.pool_key || '/' || d.volume)
                  order by d.index) as volumes,
           array(select jsonb_array_elements_text(g.removal -> 'layers')) as layers
      from guest g where g.machine_id = $1
"""


async def facts_of(db: Db, machine_ids: Collection[int]) -> Mapping[int, RemovalFacts]:
    """Returns the facts by machine id, without machines of which there is nothing to say."""
    rows = await db.fetch(_FACTS, list(machine_ids))
    return {row["machine_id"]: from_dict(row["removal"], RemovalFacts) for row in rows}


async def record(db: Db, machine_id: int, facts: RemovalFacts) -> None:
    """Replaces the facts of the machine's guest. Idempotent."""
    await db.execute(_RECORD, machine_id, {} if facts == NO_REMOVAL_FACTS else to_dict(facts))


async def staying(db: Db, machine_id: int) -> tuple[str, ...]:
    """Returns what of the machine's own stays when its guest is deleted: `storage pool/volume`, or paths."""
    row = await db.fetchrow(_STAYING, machine_id)
    return () if row is None else (*row["volumes"], *row["layers"])


async def facts_of_one(db: Db, machine_id: int) -> RemovalFacts:
    return (await facts_of(db, [machine_id])).get(machine_id, NO_REMOVAL_FACTS)


async def check_permitted(db: Db, machine: MachineView, kind: OperationKind, *, empties: bool = False) -> None:
    """Raises WrongState if the host is known to refuse what the operation does with the machine's guest.

    Some hosts delete it to give it another root disk, as a deployment does, and an operation that `empties` its disks.
    """
    if kind not in (OperationKind.DELETE, OperationKind.DEPLOY) and not empties:
        return
    facts = await facts_of_one(db, machine.id)
    if kind is OperationKind.DELETE:
        check_not_protected(machine, facts)
    elif facts.root_disk_protection:
        raise _protected(machine, f"the root disk of {machine.hostname} is not replaced", facts.root_disk_protection)


def check_not_protected(machine: MachineView, facts: RemovalFacts) -> None:
    """Raises WrongState if the host refuses the deletion of the machine's guest."""
    if facts.protection:
        raise _protected(machine, f"{machine.hostname} is not deleted", facts.protection)


def _protected(machine: MachineView, effect: str, protection: str) -> WrongState:
    return WrongState(
        f"On {machine.host_name}, {effect}, and nothing was changed: {protection} "
        f"Innkeeper knows it after the next refresh: innkeeper vm-host refresh {machine.host_name}",
        system_id=machine.system_id,
    )
