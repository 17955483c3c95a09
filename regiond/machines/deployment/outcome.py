"""Records how a deployment ends, in the caller's transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regiond.machines import lifecycle_store
from regiond.machines import store as machine_store
from regiond.machines.deployment import store
from regiond.machines.deployment.model import DeploymentState
from regiond.machines.lifecycle import MachineEvent
from regiond.networks import service as network_service

if TYPE_CHECKING:
    from regiond.db.pool import Db


async def end_deployment(db: Db, machine_id: int) -> None:
    """The guest has reported."""
    await lifecycle_store.apply_event(db, machine_id, MachineEvent.DEPLOYED)
    await store.set_state(db, machine_id, DeploymentState.DEPLOYED)


async def fail_deployment(
    db: Db, machine_id: int, reason: str = "No operation deploys it.", *, console: str = ""
) -> None:
    """What is on the host stays as it is until the machine is released. `console` has its last lines."""
    await lifecycle_store.apply_event(db, machine_id, MachineEvent.DEPLOYMENT_FAILED)
    await store.set_state(db, machine_id, DeploymentState.FAILED)
    await store.set_console(db, machine_id, console)
    await lifecycle_store.set_error_description(db, machine_id, reason)


async def abort_deployment(db: Db, machine_id: int) -> None:
    """The root disk is empty again, and the machine stays allocated."""
    await lifecycle_store.apply_event(db, machine_id, MachineEvent.DEPLOYMENT_ABORTED)
    await machine_store.set_power(db, machine_id, "off")
    await network_service.forget_addresses(db, machine_id)
    await store.delete(db, machine_id)
