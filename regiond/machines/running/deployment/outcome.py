"""Records the end of a deployment, in the caller's transaction."""

from __future__ import annotations

from common.values import PowerState
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Db
from regiond.machines.core import lifecycle_store, view_store
from regiond.machines.core import store as machine_store
from regiond.machines.running.deployment import store
from regiond.machines.running.deployment.model import DeploymentState
from regiond.machines.running.deployment.rebuild import EarlierSystem
from regiond.machines.values.lifecycle import MachineEvent
from regiond.machines.values.model import MachineView
from regiond.machines.values.states import MachineState
from regiond.networks.ipam import seen_store
from regiond.operations import store as operation_store
from regiond.operations.model import AfterEarlier, Operation


async def end_deployment(db: Db, machine_id: int) -> None:
    """Records that the guest has reported: the deployment succeeded."""
    await lifecycle_store.apply_event(db, machine_id, MachineEvent.DEPLOYED)
    await store.set_state(db, machine_id, DeploymentState.DEPLOYED)


async def fail_deployment(
    db: Db, machine_id: int, reason: str = "No operation deploys it.", *, console: str = ""
) -> None:
    """Records that the deployment failed; `console` has the last lines of its output.

    The guest and its disks stay on the host until the machine is released.
    """
    await lifecycle_store.apply_event(db, machine_id, MachineEvent.DEPLOYMENT_FAILED)
    await store.set_state(db, machine_id, DeploymentState.FAILED)
    await store.set_console(db, machine_id, console)
    await lifecycle_store.set_error_description(db, machine_id, reason)


async def keep_system(db: Db, machine_id: int, system: EarlierSystem) -> None:
    """Records that a rebuild ended before it wrote the root disk: the machine is deployed with what it had."""
    await lifecycle_store.apply_event(db, machine_id, MachineEvent.NOT_REBUILT)
    await store.insert(
        db, machine_id, system.operation_id, system.image, osystem=system.osystem, distro_series=system.distro_series
    )
    await store.set_state(db, machine_id, DeploymentState.DEPLOYED)


async def stop_deployment(db: Db, machine: MachineView, *, what: str) -> tuple[MachineView, int | None]:
    """Ends the deployment, if any, of a machine that is about to be `what` (released or deleted).

    The release or deletion removes the deployed system. Returns the machine as it is then, whose deployment has failed
    or has just ended by itself, and the earlier operation of the request: see `earlier_operation`.
    """
    if machine.state is not MachineState.DEPLOYING:
        return machine, await earlier_operation(db, machine.system_id)
    earlier = None
    running = await operation_store.active(db, OperationKind.DEPLOY, machine_id=machine.id)
    is_deployment = running is not None and running.kind is OperationKind.DEPLOY
    reason = f"The deployment was stopped: the machine is {what}."
    if running is not None and is_deployment and await operation_store.supersede(db, running.id, reason):
        await fail_deployment(db, machine.id, reason)
        # It has not reached the host: it may have waited for an earlier operation when it was stopped.
        before = running.id if running.reached_host else running.request_as(AfterEarlier).earlier
        earlier = running.id if before is None else before
    return await view_store.read(db, machine.system_id), earlier


async def earlier_operation(db: Db, system_id: str) -> int | None:
    """Returns the id of the earlier operation of a deployment, release or deletion: see `wait_for_older_commands`.

    A rack may still run the last command of the operation before it, if that one was cancelled or has failed.
    """
    return await operation_store.unsuccessful_before(db, system_id)


async def abort_deployment(db: Db, machine_id: int, operation: Operation) -> None:
    """Records a stopped deployment: the root disk is empty again, and the machine stays allocated."""
    await lifecycle_store.apply_event(db, machine_id, MachineEvent.DEPLOYMENT_ABORTED)
    await machine_store.set_power(db, machine_id, PowerState.OFF, operation)
    await seen_store.forget_addresses(db, machine_id)
    await store.delete(db, machine_id)
    await lifecycle_store.set_emptied(db, machine_id)
