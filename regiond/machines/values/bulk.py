"""The actions on many machines in one operation. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from common.operation_kinds import OperationKind
from common.values import PowerAction
from regiond.caller import Permission
from regiond.machines.values.boot import BootToSet
from regiond.machines.values.disks import DiskToAdd, NamedDisk
from regiond.machines.values.nics import NamedNic, NicToAdd
from regiond.machines.values.resize import SizeRequest

MAX_BULK_MACHINES = 500
MAX_AT_ONCE = 16
DEFAULT_AT_ONCE = 4

BulkChange = (
    SizeRequest | DiskToAdd | NamedDisk | BootToSet | NicToAdd | NamedNic
)  # the same for each machine of a bulk operation


class BulkAction(StrEnum):
    """An action on each machine: the endpoint of one machine with this name, or its deletion."""

    POWER_ON = "power_on"
    POWER_OFF = "power_off"  # shut down, by force after a timeout
    FORCE_OFF = "force_off"
    POWER_CYCLE = "power_cycle"
    RELEASE = "release"
    DELETE = "delete"
    DEPLOY = "deploy"
    REBUILD = "rebuild"
    RESIZE = "resize"
    ADD_DISK = "add_disk"
    GROW_DISK = "grow_disk"
    MOVE_DISK = "move_disk"
    REMOVE_DISK = "remove_disk"
    SET_BOOT = "set_boot"
    ADD_INTERFACE = "add_interface"
    CHANGE_INTERFACE = "change_interface"
    REMOVE_INTERFACE = "remove_interface"
    CLONE = "clone"  # of one machine, several times; opened by the clone endpoint

    @property
    def kind(self) -> OperationKind:
        """The kind of the child operations. The release of a machine that allocation composed deletes it."""
        return _KINDS.get(self, OperationKind.POWER)

    @property
    def power(self) -> PowerAction | None:
        return _POWER.get(self)

    @property
    def deploys(self) -> bool:
        """Whether it writes an image to the root disk of each machine: it is a DeployRequest."""
        return self in {BulkAction.DEPLOY, BulkAction.REBUILD}

    @property
    def changes_hardware(self) -> bool:
        """Whether it is a BulkChange."""
        return self in _OF_HARDWARE

    @property
    def done(self) -> str:
        """The participle that messages use for a machine whose child has succeeded, such as `powered on`."""
        return _DONE[self]

    @property
    def permission(self) -> Permission:
        """The permission that the caller needs on each machine, as at the endpoint of one machine."""
        return Permission.OPERATOR if self in _OF_OPERATORS else Permission.OWNER


_OF_HARDWARE = frozenset(
    {
        BulkAction.RESIZE,
        BulkAction.ADD_DISK,
        BulkAction.GROW_DISK,
        BulkAction.MOVE_DISK,
        BulkAction.REMOVE_DISK,
        BulkAction.SET_BOOT,
        BulkAction.ADD_INTERFACE,
        BulkAction.CHANGE_INTERFACE,
        BulkAction.REMOVE_INTERFACE,
    }
)
_OF_OPERATORS = frozenset({BulkAction.RELEASE, BulkAction.DEPLOY})  # of stock, a deployment allocates it
_KINDS: Mapping[BulkAction, OperationKind] = {
    BulkAction.RELEASE: OperationKind.RELEASE,
    BulkAction.DELETE: OperationKind.DELETE,
    BulkAction.DEPLOY: OperationKind.DEPLOY,
    BulkAction.REBUILD: OperationKind.DEPLOY,
    BulkAction.RESIZE: OperationKind.RESIZE,
    BulkAction.ADD_DISK: OperationKind.ADD_DISK,
    BulkAction.GROW_DISK: OperationKind.GROW_DISK,
    BulkAction.MOVE_DISK: OperationKind.MOVE_DISK,
    BulkAction.REMOVE_DISK: OperationKind.REMOVE_DISK,
    BulkAction.SET_BOOT: OperationKind.SET_BOOT,
    BulkAction.ADD_INTERFACE: OperationKind.ADD_NIC,
    BulkAction.CHANGE_INTERFACE: OperationKind.CHANGE_NIC,
    BulkAction.REMOVE_INTERFACE: OperationKind.REMOVE_NIC,
    BulkAction.CLONE: OperationKind.COMPOSE,
}
_POWER: Mapping[BulkAction, PowerAction] = {
    BulkAction.POWER_ON: PowerAction.ON,
    BulkAction.POWER_OFF: PowerAction.OFF,
    BulkAction.FORCE_OFF: PowerAction.FORCE_OFF,
    BulkAction.POWER_CYCLE: PowerAction.CYCLE,
}
_DONE: Mapping[BulkAction, str] = {
    BulkAction.POWER_ON: "powered on",
    BulkAction.POWER_OFF: "powered off",
    BulkAction.FORCE_OFF: "powered off",
    BulkAction.POWER_CYCLE: "restarted",
    BulkAction.RELEASE: "released",
    BulkAction.DELETE: "deleted",
    BulkAction.DEPLOY: "deployed",
    BulkAction.REBUILD: "rebuilt",
    BulkAction.RESIZE: "resized",
    BulkAction.ADD_DISK: "given a disk",
    BulkAction.GROW_DISK: "given a larger disk",
    BulkAction.MOVE_DISK: "changed",
    BulkAction.REMOVE_DISK: "changed",
    BulkAction.SET_BOOT: "given the boot order",
    BulkAction.ADD_INTERFACE: "given a NIC",
    BulkAction.CHANGE_INTERFACE: "given another network",
    BulkAction.REMOVE_INTERFACE: "changed",
    BulkAction.CLONE: "composed",
}
