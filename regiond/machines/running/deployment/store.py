"""SQL of deployments. Functions that take `db` join the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable

import asyncpg

from common.guests.deployment_spec import ImageRef
from common.hosts.vm_host_report import VmHostReport
from common.serialization import from_dict, to_dict
from common.values import DriverType
from regiond.db.pool import Db, of_row
from regiond.machines.running.deployment.model import Deployment, DeploymentState
from regiond.machines.running.deployment.vm_host.model import VmHostSetup

# The row of an earlier deployment, whose machine was released since, is replaced. The new row has a new id, so that a
# late report of the earlier guest names an unknown deployment.
_DELETE = "delete from deployment where machine_id = $1"
_INSERT = """
    insert into deployment (machine_id, operation_id, image, osystem, distro_series) values ($1, $2, $3, $4, $5)
    returning id
"""
_SET_USER_DATA = "update deployment set sealed_user_data = $2 where id = $1"
_SELECT = """
    select d.*, extract(epoch from now() - d.booted_at)::float8 as waited_s,
           extract(epoch from now() - d.reported_at)::float8 as reported_s
      from deployment d
"""
_OF_OPERATION = _SELECT + "where operation_id = $1"
_OF_MACHINE = _SELECT + "where machine_id = $1"
_BY_ID = _SELECT + "where id = $1"
_LOCKED = _SELECT + "where id = $1 for update"
_NEW_REPORT = """
    update deployment set secret_hash = $2, booted_at = null, vm_host_report = null, user_data_fetches = null
     where id = $1 and reported_at is null
"""
_SET_FETCHES = "update deployment set user_data_fetches = 0 where id = $1"
_COUNT_FETCH = """
    update deployment set user_data_fetches = user_data_fetches + 1
     where id = $1 and reported_at is null and user_data_fetches < $2
"""
_BOOTED = "update deployment set booted_at = clock_timestamp() where id = $1 and booted_at is null"
_REPORTED = "update deployment set reported_at = clock_timestamp() where id = $1"
_HAS_REPORTED = "select reported_at is not null from deployment where id = $1"
_LACKING_UEFI = """
    select h.id from vm_host h join server s on s.id = h.server_id
     where h.id = any($1::integer[]) and not s.uefi_firmware
"""
_SET_CONSOLE = "update deployment set console = $2 where machine_id = $1"
_SET_STATE = """
    update deployment set state = $2, sealed_user_data = null, secret_hash = null, sealed_vm_host_key = null
     where machine_id = $1
"""
_SET_VM_HOST = "update deployment set vm_host_driver = $2, vm_host_public = $3, sealed_vm_host_key = $4 where id = $1"
_VM_HOST_REPORTED = "update deployment set vm_host_report = $2 where id = $1"


async def insert(
    db: Db, machine_id: int, operation_id: int, image: ImageRef, *, osystem: str, distro_series: str
) -> int:
    """Inserts a deployment, which replaces an earlier one of the machine, and returns its id."""
    await db.execute(_DELETE, machine_id)
    id_: int = await db.fetchval(_INSERT, machine_id, operation_id, to_dict(image), osystem, distro_series)
    return id_


async def set_user_data(db: Db, deployment_id: int, sealed: bytes) -> None:
    await db.execute(_SET_USER_DATA, deployment_id, sealed)


async def set_vm_host(db: Db, deployment_id: int, setup: VmHostSetup) -> None:
    await db.execute(_SET_VM_HOST, deployment_id, setup.driver.value, setup.public, setup.sealed_key)


async def record_vm_host(db: Db, deployment_id: int, report: VmHostReport) -> None:
    """Stores the report of a new VM host; a later report replaces an earlier one."""
    await db.execute(_VM_HOST_REPORTED, deployment_id, to_dict(report))


async def of_operation(db: Db, operation_id: int) -> Deployment | None:
    return _deployment(await db.fetchrow(_OF_OPERATION, operation_id))


async def of_machine(db: Db, machine_id: int) -> Deployment | None:
    """Returns the machine's last deployment; None if it was released since."""
    return _deployment(await db.fetchrow(_OF_MACHINE, machine_id))


async def find(db: Db, deployment_id: int) -> Deployment | None:
    return _deployment(await db.fetchrow(_BY_ID, deployment_id))


async def locked(db: Db, deployment_id: int) -> Deployment | None:
    """Returns the deployment, locked until the transaction ends; None if it is unknown."""
    return _deployment(await db.fetchrow(_LOCKED, deployment_id))


async def set_secret(db: Db, deployment_id: int, secret_hash: bytes) -> None:
    """Stores the secret; the secret of an earlier attempt is no longer accepted."""
    await db.execute(_NEW_REPORT, deployment_id, secret_hash)


async def expect_fetch(db: Db, deployment_id: int) -> None:
    """Records that the guest fetches its user data, because its hypervisor does not store them."""
    await db.execute(_SET_FETCHES, deployment_id)


async def count_fetch(db: Db, deployment_id: int, *, most: int) -> bool:
    """Counts a fetch. Returns False, with nothing changed, if the guest has reported or has fetched `most` times."""
    return bool(await db.execute(_COUNT_FETCH, deployment_id, most) == "UPDATE 1")


async def record_booted(db: Db, deployment_id: int) -> None:
    """Records that the guest has booted. Idempotent."""
    await db.execute(_BOOTED, deployment_id)


async def record_reported(db: Db, deployment_id: int) -> None:
    await db.execute(_REPORTED, deployment_id)


async def has_reported(db: Db, deployment_id: int) -> bool:
    return bool(await db.fetchval(_HAS_REPORTED, deployment_id))


async def set_state(db: Db, machine_id: int, state: DeploymentState) -> None:
    """Sets the state and deletes the secrets. Does nothing for a machine without a deployment."""
    await db.execute(_SET_STATE, machine_id, state.value)


async def set_console(db: Db, machine_id: int, text: str) -> None:
    await db.execute(_SET_CONSOLE, machine_id, text)


async def hosts_lacking_uefi(db: Db, host_ids: Iterable[int]) -> frozenset[int]:
    """Returns those of the hosts whose guests are known to have no UEFI firmware."""
    return frozenset(row["id"] for row in await db.fetch(_LACKING_UEFI, sorted(host_ids)))


async def delete(db: Db, machine_id: int) -> None:
    await db.execute(_DELETE, machine_id)


def _deployment(row: asyncpg.Record | None) -> Deployment | None:
    if row is None:
        return None
    return of_row(
        Deployment,
        row,
        state=DeploymentState(row["state"]),
        image=from_dict(row["image"], ImageRef),
        vm_host=_vm_host(row),
    )


def _vm_host(row: asyncpg.Record) -> VmHostSetup | None:
    if row["vm_host_driver"] is None:
        return None
    report = row["vm_host_report"]
    return VmHostSetup(
        driver=DriverType(row["vm_host_driver"]),
        public=row["vm_host_public"],
        sealed_key=row["sealed_vm_host_key"],
        report=None if report is None else from_dict(report, VmHostReport),
    )
