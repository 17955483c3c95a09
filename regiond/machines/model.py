"""Machines as people see them, and the table of their lives."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from attrs import field, frozen

from regiond.groups.model import ResourcePool, Zone
from regiond.operations.model import Operation


class MachineState(StrEnum):
    COMPOSING = "composing"
    ADOPTING = "adopting"  # a guest that was there before is being marked as this machine
    READY = "ready"
    DELETING = "deleting"
    MISSING = "missing"  # its guest was not in the last listing of its host
    FAILED = "failed"  # an operation could neither finish nor be undone yet


@frozen(kw_only=True)
class DiskView:
    id: int
    index: int
    volume: str
    storage_pool_name: str
    storage_pool_key: str
    size_bytes: int
    serial: str
    tags: tuple[str, ...]


@frozen(kw_only=True)
class NicView:
    id: int
    index: int
    name: str
    mac_address: str
    kind: str
    source: str


@frozen(kw_only=True)
class MachineView:
    id: int
    uuid: UUID
    system_id: str
    hostname: str
    state: MachineState
    power_state: str
    architecture: str
    cores: int
    memory_mib: int
    tags: tuple[str, ...]
    pool: ResourcePool
    zone: Zone
    owner: str | None
    description: str
    host_id: int | None
    host_name: str | None
    host_system_id: str | None
    driver: str | None
    guest_id: int | None
    disks: tuple[DiskView, ...] = ()
    nics: tuple[NicView, ...] = ()
    created_at: datetime
    adopted: bool = False  # its guest was there before us


@frozen(kw_only=True)
class ComposeRequest:
    """What a person asks for. `zone` and `pool` are an id or a name, as text; sizes as their names say.

    `storage` and `interfaces` are the constraint texts of the API, already checked for their grammar by whoever
    made this. `host_id` None lets placement choose.
    """

    host_id: int | None = None
    cores: int = 1
    memory_mib: int = 2048
    architecture: str | None = None
    storage: str = ""
    interfaces: str = ""
    hostname: str | None = None
    zone: str | None = None
    pool: str | None = None
    pinned_cores: tuple[int, ...] = ()
    huge_pages_backed: bool = False
    power_on: bool = False


@frozen(kw_only=True)
class AskedHosts:
    """Which hosts a machine may go to, as people say it: ids or names, as text. Empty means any.

    Several values of one field are alternatives, but a host has all of `tags`, and nothing of what a `not_` field says.
    `cpu_speed_mhz` is what its CPUs have at least, where that is known.
    """

    hosts: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    not_in_zones: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    not_in_pools: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    not_tags: tuple[str, ...] = ()
    cpu_speed_mhz: int | None = None


@frozen(kw_only=True)
class MachineFilter:
    """All given must hold; several values of one field are alternatives."""

    system_ids: tuple[str, ...] = ()
    hostnames: tuple[str, ...] = ()
    mac_addresses: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()  # `pod`: host names
    extra: Mapping[str, str] = field(factory=dict)


@frozen(kw_only=True)
class AdoptRequest:
    """Which guests of a host: by name, by the id of the virtual machine, or by the hypervisor's own id; or all that are
    foreign. `hostname` is for a single one; otherwise machines are named after their guests."""

    guests: tuple[str, ...] = ()
    everything: bool = False
    hostname: str | None = None


@frozen(kw_only=True)
class Adopted:
    """What becomes of one guest. Without an operation it is a machine already, or `refused` says why it cannot be."""

    guest_name: str
    system_id: str | None = None
    hostname: str | None = None
    operation: Operation | None = None
    refused: str | None = None


@frozen(kw_only=True)
class ForgottenMachine:
    """What is kept of it. `pool`, `zone` and `owner` are names, None when they are gone."""

    uuid: UUID
    system_id: str
    hostname: str
    adopted: bool
    host_name: str
    driver: str
    address: str
    project: str
    pool: str | None
    zone: str | None
    owner: str | None
    architecture: str
    cores: int
    memory_mib: int
    tags: tuple[str, ...]
    disks: tuple[dict[str, Any], ...]
    nics: tuple[dict[str, Any], ...]
    forgotten_at: datetime
