"""A rebuild: the deployment of a machine that has a system. Its disks but the root disk stay. Pure.

Also what any deployment changes, in words.

Until the root disk is written, a rebuild that fails or is aborted leaves the machine as it was: see `is_untouched`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import evolve, frozen

from common.deployment_spec import ImageRef
from common.serialization import from_dict, to_dict
from common.units import gb
from common.values import DriverType, PowerState
from regiond.machines.deployment.model import Deployment, DeploymentState
from regiond.machines.model import DeployRequest, DiskPlan, MachineView

REBUILD = "rebuild"  # keys of the operation's request
FORCE = "force"
_SYSTEM = "earlier_system"


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


def with_image(request: DeployRequest, machine: MachineView) -> DeployRequest:
    """Returns the request with an image: a rebuild that names none is one with the present image."""
    if not request.rebuild or request.image_name or not machine.osystem:
        return request
    return evolve(request, osystem="", distro_series=f"{machine.osystem}/{machine.distro_series}")


def rebuild_fields(request: DeployRequest, present: Deployment | None) -> dict[str, Any]:
    """Returns the fields to add to the request of the operation. `present` is the machine's deployment so far."""
    system = {}
    if present is not None and present.state is DeploymentState.DEPLOYED:
        earlier = EarlierSystem(
            operation_id=present.operation_id, image=present.image, osystem=present.osystem,
            distro_series=present.distro_series,
        )  # fmt: skip
        system = {_SYSTEM: to_dict(earlier)}
    return {REBUILD: True, FORCE: request.force, **system}


def earlier_system(request: Mapping[str, Any]) -> EarlierSystem | None:
    """Returns the working system that the operation replaces; None for a first deployment, or after a failed one."""
    found = request.get(_SYSTEM)
    return None if found is None else from_dict(found, EarlierSystem)


def is_untouched(request: Mapping[str, Any], deployment: Deployment) -> bool:
    """Returns whether the machine still has the system that the rebuild replaces.

    The secret of the new guest is stored in a transaction of its own before a rack is asked to write the root disk.
    """
    return earlier_system(request) is not None and deployment.secret_hash is None


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
