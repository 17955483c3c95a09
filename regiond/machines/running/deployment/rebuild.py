"""A rebuild: the deployment of a machine that has a system. Its disks but the root disk stay. Pure.

Also what any deployment changes, in words.

Until the root disk is written, a rebuild that fails or is aborted leaves the machine as it was: see `is_untouched`.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve, field, frozen

from common.guests.deployment_spec import ImageRef
from common.units import gb
from common.values import DriverType, PowerState
from regiond.machines.running.deployment.model import Deployment, DeploymentState
from regiond.machines.values.disks import DiskPlan
from regiond.machines.values.guest_request import MachineRequest
from regiond.machines.values.model import MachineView
from regiond.machines.values.requests import DeployRequest
from regiond.operations.model import LEFT_OUT, AfterEarlier, Operation


@frozen(kw_only=True)
class EarlierSystem:
    """The deployment that a rebuild replaces, as the operation stores it."""

    operation_id: int
    image: ImageRef
    osystem: str
    distro_series: str

    @property
    def name(self) -> str:
        return f"{self.osystem}/{self.distro_series}"


@frozen(kw_only=True)
class DeploymentRequest(AfterEarlier, MachineRequest):
    """The request of a deployment, in the operation's row. `rebuild`: the machine has a system.

    With `force` that does not shut down first. `earlier_system` is the working system that the operation replaces; None
    for a first deployment, or after a failed one.
    """

    osystem: str
    distro_series: str
    image: ImageRef
    rebuild: bool = field(default=False, metadata=LEFT_OUT)
    force: bool | None = field(default=None, metadata=LEFT_OUT)
    earlier_system: EarlierSystem | None = field(default=None, metadata=LEFT_OUT)

    @property
    def begins_use(self) -> str:
        return "it is deployed"


def with_image(request: DeployRequest, machine: MachineView) -> DeployRequest:
    """Returns the request with an image: a rebuild that names none is one with the present image."""
    if not request.rebuild or request.image_name or not machine.osystem:
        return request
    return evolve(request, osystem="", distro_series=f"{machine.osystem}/{machine.distro_series}")


def rebuilding(stored: DeploymentRequest, request: DeployRequest, present: Deployment | None) -> DeploymentRequest:
    """Returns the request of a rebuild. `present` is the machine's deployment so far."""
    system = None
    if present is not None and present.state is DeploymentState.DEPLOYED:
        system = EarlierSystem(
            operation_id=present.operation_id, image=present.image, osystem=present.osystem,
            distro_series=present.distro_series,
        )  # fmt: skip
    return evolve(stored, rebuild=True, force=request.force, earlier_system=system)


def is_untouched(operation: Operation, deployment: Deployment) -> bool:
    """Returns whether the machine still has the system that the rebuild replaces.

    The secret of the new guest is stored in a transaction of its own before a rack is asked to write the root disk.
    """
    return operation.request_as(DeploymentRequest).earlier_system is not None and deployment.secret_hash is None


def rebuild_plan(machine: MachineView, image_name: str, *, force: bool, ends: Iterable[str] = ()) -> DiskPlan:
    """Returns the plan; its first effect names the image, the others do not depend on it. `ends` says what else goes
    with the root disk.
    """
    effects = [
        f"{machine.hostname} is deployed with {image_name}.",
        *_disk_effects(machine),
        "Its NICs, addresses, name, owner and tags stay. The new system has new SSH host keys, and the user data of "
        "this request only.",
        *ends,
    ]
    if machine.power_state != PowerState.OFF:
        stops = "powered off" if force else "shut down"
        effects.append(f"It runs: once {machine.host_name} has the image, it is {stops}.")
    return DiskPlan(name=machine.hostname, effects=tuple(effects), loses_data=True)


def deploy_plan(machine: MachineView, image_name: str, request: DeployRequest, *, allocated_to: str) -> DiskPlan:
    """Returns the plan of a first deployment; `allocated_to` is the user who gets the machine by it, if any."""
    effects = [f"{machine.hostname} is deployed with {image_name}.", *_disk_effects(machine)]
    if allocated_to:
        effects.insert(0, f"{machine.hostname} is allocated to {allocated_to}.")
    if machine.power_state != PowerState.OFF:
        effects.append(f"It runs: once {machine.host_name} has the image, it is powered off, without a shutdown.")
    if request.vm_host is not None:
        kind = "an LXD server" if request.vm_host is DriverType.LXD else "a libvirt host"
        effects.append(f"It becomes {kind}, and is added as a VM host.")
    return DiskPlan(name=machine.hostname, effects=tuple(effects), loses_data=True)


def _disk_effects(machine: MachineView) -> tuple[str, str]:
    root, *others = sorted(machine.disks, key=lambda disk: disk.index)
    present = f" with {machine.osystem}/{machine.distro_series}" if machine.osystem else ""
    kept = ", ".join(f"{disk.title} ({gb(disk.size_bytes)} in {disk.storage_pool_name})" for disk in others)
    return (
        f"Its root disk{present} ({gb(root.size_bytes)} in {root.storage_pool_name}) and all data on it are deleted.",
        f"Kept with their content: {kept}." if kept else "It has no other disk.",
    )
