"""The facts that another controller had of a VM, for the machine that adopts it."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from regiond.machines.values.states import MachineState


@frozen(kw_only=True)
class ManagedLink:
    """An address that a NIC uses already."""

    mac_address: str
    mode: str  # `static` or `auto`
    cidr: str  # of the subnet
    address: str


@frozen(kw_only=True)
class ManagedVm:
    """A VM that another controller has managed, and the machine that adopts it, which gets its id and its names.

    `state` is `ready`, `allocated`, `deployed` or `broken`. `composed_by_allocate`: its release destroys it.
    """

    guest: str  # the name of the guest, or the hypervisor's id
    system_id: str
    hostname: str
    state: MachineState
    owner: str | None = None
    zone: str | None = None
    pool: str | None = None
    tags: tuple[str, ...] = ()
    description: str = ""
    owner_data: Mapping[str, str] = field(factory=dict)
    locked: bool = False
    composed_by_allocate: bool = False
    error_description: str = ""
