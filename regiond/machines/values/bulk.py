"""The actions on many machines in one operation. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from attrs import field, frozen

from common.values import PowerAction
from common.words.operation_kinds import OperationKind
from regiond.machines.values.boot import BootToSet
from regiond.machines.values.disks import DiskToAdd, NamedDisk
from regiond.machines.values.nics import NamedNic, NicToAdd
from regiond.machines.values.resize import SizeRequest
from regiond.requests.caller import Permission

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
        return _FACTS[self].kind

    @property
    def power(self) -> PowerAction | None:
        return _FACTS[self].power

    @property
    def deploys(self) -> bool:
        """Whether it writes an image to the root disk of each machine: it is a DeployRequest."""
        return self.kind is OperationKind.DEPLOY

    @property
    def changes_hardware(self) -> bool:
        """Whether it is a BulkChange."""
        return _FACTS[self].changes_hardware

    @property
    def done(self) -> str:
        """The participle that messages use for a machine whose child has succeeded, such as `powered on`."""
        return _FACTS[self].done

    @property
    def permission(self) -> Permission:
        """The permission that the caller needs on each machine, as at the endpoint of one machine."""
        return _FACTS[self].permission


@frozen
class _Facts:
    kind: OperationKind
    done: str
    power: PowerAction | None = field(default=None, kw_only=True)
    permission: Permission = field(default=Permission.OWNER, kw_only=True)
    changes_hardware: bool = field(default=False, kw_only=True)


def _power(action: PowerAction, done: str) -> _Facts:
    return _Facts(OperationKind.POWER, done, power=action)


def _hardware(kind: OperationKind, done: str) -> _Facts:
    return _Facts(kind, done, changes_hardware=True)


_FACTS: Mapping[BulkAction, _Facts] = {
    BulkAction.POWER_ON: _power(PowerAction.ON, "powered on"),
    BulkAction.POWER_OFF: _power(PowerAction.OFF, "powered off"),
    BulkAction.FORCE_OFF: _power(PowerAction.FORCE_OFF, "powered off"),
    BulkAction.POWER_CYCLE: _power(PowerAction.CYCLE, "restarted"),
    BulkAction.RELEASE: _Facts(OperationKind.RELEASE, "released", permission=Permission.OPERATOR),
    BulkAction.DELETE: _Facts(OperationKind.DELETE, "deleted"),
    BulkAction.DEPLOY: _Facts(  # of stock, a deployment allocates it
        OperationKind.DEPLOY, "deployed", permission=Permission.OPERATOR
    ),
    BulkAction.REBUILD: _Facts(OperationKind.DEPLOY, "rebuilt"),
    BulkAction.RESIZE: _hardware(OperationKind.RESIZE, "resized"),
    BulkAction.ADD_DISK: _hardware(OperationKind.ADD_DISK, "given a disk"),
    BulkAction.GROW_DISK: _hardware(OperationKind.GROW_DISK, "given a larger disk"),
    BulkAction.MOVE_DISK: _hardware(OperationKind.MOVE_DISK, "changed"),
    BulkAction.REMOVE_DISK: _hardware(OperationKind.REMOVE_DISK, "changed"),
    BulkAction.SET_BOOT: _hardware(OperationKind.SET_BOOT, "given the boot order"),
    BulkAction.ADD_INTERFACE: _hardware(OperationKind.ADD_NIC, "given a NIC"),
    BulkAction.CHANGE_INTERFACE: _hardware(OperationKind.CHANGE_NIC, "given another network"),
    BulkAction.REMOVE_INTERFACE: _hardware(OperationKind.REMOVE_NIC, "changed"),
    BulkAction.CLONE: _Facts(OperationKind.COMPOSE, "composed"),
}
