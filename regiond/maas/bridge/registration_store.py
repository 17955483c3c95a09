"""SQL of the machines that are registered in MAAS servers."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from common.values import PowerAction, PowerState
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Db, Row, of_row
from regiond.maas.bridge.model import PowerSecret, Registration
from regiond.machines.values.model import MachineView

_FIELDS = """
    select r.id, r.server_id, s.name as server, r.machine_id, r.system_id, r.hostname, r.mac_addresses,
           r.boot_before, r.maas_system_id, r.power_id, r.token_hash, r.sealed_token, r.asked
      from maas_registration r join maas_server s on s.id = r.server_id
"""
_OF_POWER_ID = _FIELDS + " where r.power_id = $1"
_OF_POWER_ID_LOCKED = _OF_POWER_ID + " for update of r"
_OF_MACHINE = _FIELDS + " where r.machine_id = $1"
_OF_SYSTEM_ID = _FIELDS + " where r.system_id = $1 order by r.id"
_OF_ID = _FIELDS + " where r.id = $1"
_INSERT = """
    insert into maas_registration (server_id, machine_id, system_id, hostname, mac_addresses, boot_before, power_id,
                                   token_hash)
    values ($1, $2, $3, $4, $5, $6, $7, $8) returning id
"""
_SEAL = "update maas_registration set sealed_token = $2 where id = $1"
_ASK = "update maas_registration set asked = true, asked_at = clock_timestamp() where id = $1"
_REFUSE = "update maas_registration set asked = false, asked_at = null where id = $1"
_COMPLETE = """
    update maas_registration
       set maas_system_id = $2, sealed_token = null, registered_at = clock_timestamp(), missing_since = null
     where id = $1
"""
_UNLINK = "update maas_registration set machine_id = null, sealed_token = null where id = $1"
_LOCK = "select from maas_registration where id = $1 for update"
_DELETE = "delete from maas_registration where id = $1"
_SWITCHED = """
    select r.token_hash, r.system_id, r.hostname, s.name as server, m.id as machine_id, m.power_state,
           (select o.id from operation o where o.machine_id = m.id and o.is_open) as operation_id,
           (select o.kind from operation o where o.machine_id = m.id and o.is_open) as operation_kind,
           (select o.request ->> 'action' from operation o where o.machine_id = m.id and o.is_open) as action
      from maas_registration r join maas_server s on s.id = r.server_id left join machine m on m.id = r.machine_id
     where r.power_id = $1
"""
_UNSETTLED = (
    _FIELDS
    + """
     where r.server_id = $1 and r.machine_id is null and r.maas_system_id is null
       and not exists (select from operation o where o.is_open and o.request ->> 'registration' = r.power_id)
     order by r.id limit $2
"""
)
_FOUND = "update maas_registration set maas_system_id = $2 where id = $1 and machine_id is null"
_SETTLE = """
    delete from maas_registration
     where id = $1 and machine_id is null and maas_system_id is null
       and coalesce(asked_at, created_at) < clock_timestamp() - make_interval(secs => $2)
"""
_LISTED = "select id, maas_system_id from maas_registration where server_id = $1 and maas_system_id is not null"
_MARK_MISSING = """
    update maas_registration
       set missing_since = case when id = any($2::integer[]) then coalesce(missing_since, clock_timestamp()) end
     where id = any($1::integer[]) and (missing_since is null) = (id = any($2))
"""


@frozen(kw_only=True)
class SwitchedMachine:
    """A registered machine as its power is asked for. `machine_id` None: it is gone.

    `operation_kind` is that of the operation which acts on it now; `action` what that does, if it is one on power.
    """

    token_hash: bytes
    system_id: str
    hostname: str
    server: str
    machine_id: int | None
    power_state: PowerState
    operation_id: int | None
    operation_kind: str | None
    action: str | None

    def gets(self, action: PowerAction) -> bool:
        """Whether an operation is doing this to its power."""
        return self.operation_kind == OperationKind.POWER and self.action == action.value


async def of_power_id(db: Db, power_id: str) -> Registration | None:
    return _registration(await db.fetchrow(_OF_POWER_ID, power_id))


async def locked(db: Db, power_id: str) -> Registration | None:
    """Returns the registration as the transactions have left it that were changing it, and excludes others."""
    return _registration(await db.fetchrow(_OF_POWER_ID_LOCKED, power_id))


async def of_machine(db: Db, machine_id: int) -> Registration | None:
    return _registration(await db.fetchrow(_OF_MACHINE, machine_id))


async def of_system_id(db: Db, system_id: str) -> tuple[Registration, ...]:
    """Returns those of a machine of ours, which may be gone."""
    return tuple(of_row(Registration, row) for row in await db.fetch(_OF_SYSTEM_ID, system_id))


async def of_id(db: Db, registration_id: int) -> Registration | None:
    return _registration(await db.fetchrow(_OF_ID, registration_id))


async def insert(db: Db, server_id: int, machine: MachineView, secret: PowerSecret) -> int:
    """Returns the id, under which the caller then seals the secret. A duplicate raises UniqueViolationError."""
    id_: int = await db.fetchval(
        _INSERT, server_id, machine.id, machine.system_id, machine.hostname, [nic.mac_address for nic in machine.nics],
        [one.value for one in machine.boot.lasting or ()], secret.power_id, secret.token_hash,
    )  # fmt: skip
    return id_


async def set_token(db: Db, registration_id: int, sealed: bytes) -> None:
    await db.execute(_SEAL, registration_id, sealed)


async def record_asked(db: Db, registration_id: int) -> None:
    """Records that MAAS may have a record from now on. Idempotent."""
    await db.execute(_ASK, registration_id)


async def record_refused(db: Db, registration_id: int) -> None:
    """Records that MAAS has refused the only request for a record, so that it has none. Idempotent."""
    await db.execute(_REFUSE, registration_id)


async def complete(db: Db, registration_id: int, maas_system_id: str) -> None:
    """Records the id in MAAS, and forgets the secret, which MAAS has. Idempotent."""
    await db.execute(_COMPLETE, registration_id, maas_system_id)


async def unlink(db: Db, registration_id: int) -> None:
    """Records that the machine is no longer that of the record, which MAAS may still have. Idempotent."""
    await db.execute(_UNLINK, registration_id)


async def delete(db: Db, registration_id: int) -> None:
    await db.execute(_DELETE, registration_id)


async def unsettled(db: Db, server_id: int, *, limit: int) -> tuple[Registration, ...]:
    """Returns registrations that have ended without MAAS's answer to the request for a record."""
    return tuple(of_row(Registration, row) for row in await db.fetch(_UNSETTLED, server_id, limit))


async def record_found(db: Db, registration_id: int, maas_system_id: str) -> None:
    """Records that MAAS has a record, which is left there. Idempotent."""
    await db.execute(_FOUND, registration_id, maas_system_id)


async def settle(db: Db, registration_id: int, after_s: float) -> bool:
    """Deletes a registration of which MAAS has nothing, if its last request is so old that it cannot be done later.

    Returns whether it did.
    """
    return await db.execute(_SETTLE, registration_id, after_s) == "DELETE 1"


async def switched(db: Db, power_id: str) -> SwitchedMachine | None:
    row = await db.fetchrow(_SWITCHED, power_id)
    if row is None:
        return None
    power = PowerState.UNKNOWN if row["power_state"] is None else PowerState(row["power_state"])
    return of_row(SwitchedMachine, row, power_state=power)


async def lock(db: Db, registration_id: int) -> None:
    await db.execute(_LOCK, registration_id)


async def listed(db: Db, server_id: int) -> dict[int, str]:
    """Returns the ids in MAAS that the server should list, by the id of the registration."""
    return {row["id"]: row["maas_system_id"] for row in await db.fetch(_LISTED, server_id)}


async def mark_missing(db: Db, asked: Sequence[int], missing: Sequence[int]) -> None:
    """Records which of the registrations `asked` for their server does not list, and that it lists the others."""
    await db.execute(_MARK_MISSING, list(asked), list(missing))


def _registration(row: Row | None) -> Registration | None:
    return None if row is None else of_row(Registration, row)
