"""The lifecycle states of machines, and the statuses that clients of MAAS know."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from attrs import frozen


class MachineState(StrEnum):
    """The lifecycle state of a machine; `regiond.machines.values.lifecycle` has the transitions."""

    COMPOSING = "composing"
    ADOPTING = "adopting"  # an operation is writing our marker onto an existing guest
    NEW = "new"  # marked fixed, but no refresh of its host has listed its guest since
    READY = "ready"
    ALLOCATED = "allocated"
    DEPLOYING = "deploying"  # an operation writes an operating system to it, or waits for the guest's report
    DEPLOYED = "deployed"
    FAILED_DEPLOYMENT = "failed_deployment"  # the guest did not report in time, or could not be started
    RELEASING = "releasing"
    DELETING = "deleting"
    MISSING = "missing"  # its host reported no such guest, in a refresh or a release
    BROKEN = "broken"  # marked by a user
    FAILED_COMPOSE = "failed_compose"  # a client knows of it; it has no guest, host or claims, and can only be deleted
    FAILED = "failed"  # its release should have destroyed it, but the host did not


# An operation acts on the machine, and may end with its row deleted.
TRANSIENT = frozenset(
    {
        MachineState.COMPOSING,
        MachineState.ADOPTING,
        MachineState.DEPLOYING,
        MachineState.RELEASING,
        MachineState.DELETING,
    }
)


@frozen
class MaasStatus:
    """The status number and name that MAAS clients compare, and a message for users."""

    status: int
    name: str
    message: str


MAAS_STATUS: Mapping[MachineState, MaasStatus] = {
    MachineState.COMPOSING: MaasStatus(1, "Commissioning", "The virtual machine is being created."),
    MachineState.ADOPTING: MaasStatus(1, "Commissioning", "The virtual machine is being adopted."),
    MachineState.NEW: MaasStatus(0, "New", "Marked fixed; refresh the VM host to find the virtual machine."),
    MachineState.READY: MaasStatus(4, "Ready", ""),
    MachineState.ALLOCATED: MaasStatus(10, "Allocated", ""),
    MachineState.DEPLOYING: MaasStatus(9, "Deploying", "The operating system is being written, or boots."),
    MachineState.DEPLOYED: MaasStatus(6, "Deployed", ""),
    MachineState.FAILED_DEPLOYMENT: MaasStatus(11, "Failed deployment", "The deployment failed; see operations/."),
    MachineState.RELEASING: MaasStatus(12, "Releasing", "The machine is being released."),
    MachineState.DELETING: MaasStatus(12, "Releasing", "The virtual machine is being deleted."),
    MachineState.MISSING: MaasStatus(3, "Missing", "The last refresh of the VM host did not list the virtual machine."),
    MachineState.BROKEN: MaasStatus(8, "Broken", "The machine was marked broken."),
    MachineState.FAILED_COMPOSE: MaasStatus(
        2, "Failed commissioning", "The virtual machine was not created; see operations/. Delete the machine."
    ),
    MachineState.FAILED: MaasStatus(
        2, "Failed commissioning", "The machine was released, and its VM host failed to delete it; see operations/."
    ),
}
