"""Changes cores and memory of an instance.

Nothing is stored on the instance for what LXD cannot change while it runs: the region sends the size with the next
start. LXD takes memory from a running instance with a balloon, which the driver never asks for.
"""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from common.errors import DriverFailed
from common.guests.guest_placement import GuestPlacement, PlacedGuest
from common.guests.sizes import GuestSize, Resized
from common.units import BYTES_PER_MIB
from common.values import Guest, GuestRef, PowerState
from rackd.drivers.lxd.guests.instance_config import HUGE_PAGES, NO_HUGE_PAGES, NODES_KEY, placement_config
from rackd.drivers.lxd.guests.instances import Instances
from rackd.drivers.lxd.guests.preflight import check_nodes, check_pages
from rackd.drivers.lxd.guests.project_limits import limits_as_capacity
from rackd.drivers.lxd.guests.safeguards import check_no_saved_memory
from rackd.drivers.lxd.inventory.facts import core_count, numa_nodes
from rackd.drivers.lxd.inventory.ownership import Json
from rackd.drivers.lxd.inventory.power_states import STOPPED
from rackd.drivers.resizing import before_start, check_cores, check_resizable, needs_placing, size_of

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

# In the texts with which LXD and Incus refuse a change only because the instance runs, or because the guest does not
# give a core back. All other refusals hold for an instance that is off too.
_REFUSED_WHILE_RUNNING = ("vm is running", "failed updating cpu limit", "failed updating memory limit")


def resize(instances: Instances, guest: GuestRef, size: GuestSize) -> Resized:
    """Returns the size that the instance has now. Raises as the driver contract says."""
    found = instances.of_machine(guest)
    check_no_saved_memory(instances, found, what="its size")
    current = instances.plain_guest(found)
    _check(instances, found, current, size)
    if current.power is PowerState.OFF:
        _change(instances, current.name, _config(current, size))
    else:
        _change_running(instances, current, size)
    changed = instances.plain_guest(instances.read(current.name))
    return Resized(size=size_of(changed), power=changed.power)


def resize_placed(instances: Instances, guest: GuestRef, size: GuestSize, placement: GuestPlacement) -> Resized:
    """Returns the size of the instance once it has it and the placement, in one change. Raises as the contract says."""
    found = instances.of_machine(guest)
    check_no_saved_memory(instances, found, what="its size")
    current = instances.plain_guest(found)
    if needs_placing(current, size, placement):
        wanted = PlacedGuest.of(current.name, size, placement)
        resources = instances.client.get("resources", target=instances.scope.member or "")
        nodes, place = numa_nodes(resources), instances.client.place
        check_cores(current.name, size.cores, core_count(resources, nodes), place)
        check_nodes(wanted, nodes, place)
        of_size = {"limits.memory": str(size.memory_mib * BYTES_PER_MIB)}
        config = {**placement_config(wanted, instances.capabilities), **of_size}
        pages = str((found.get("expanded_config") or {}).get(HUGE_PAGES, NO_HUGE_PAGES))
        now = {HUGE_PAGES: pages, **(found.get("config") or {})}
        _change(instances, current.name, {key: text for key, text in config.items() if now.get(key, "") != text})
    changed = instances.plain_guest(instances.read(current.name))
    return Resized(size=size_of(changed), power=changed.power)


def apply_before_start(instances: Instances, name: str, size: GuestSize) -> None:
    """Gives an instance that is off this size, unless LXD refuses it."""
    found = instances.read(name)
    if int(found["status_code"]) == STOPPED:
        with before_start(name):
            current = instances.plain_guest(found)
            _check(instances, found, current, size)
            _change(instances, name, _config(current, size))


def _check(instances: Instances, found: Json, current: Guest, size: GuestSize) -> None:
    """LXD accepts more cores than the server has, and then cannot start the instance; huge pages likewise."""
    config = found.get("expanded_config") or {}
    check_resizable(current, size, on_numa_nodes=bool(config.get(NODES_KEY)))
    pages = current.huge_pages_backed and size.memory_mib > current.memory_mib
    if size.cores > current.cores or pages:
        resources = instances.client.get("resources", target=instances.scope.member or "")
        nodes, place = numa_nodes(resources), instances.client.place
        check_cores(current.name, size.cores, core_count(resources, nodes), place)
        if pages:
            check_pages(current.name, size.memory_mib, None, nodes, place)


def _config(current: Guest, size: GuestSize) -> dict[str, str]:
    """Returns the keys that differ."""
    config = {}
    if size.cores != current.cores:
        config["limits.cpu"] = str(size.cores)
    if size.memory_mib != current.memory_mib:
        config["limits.memory"] = str(size.memory_mib * BYTES_PER_MIB)
    return config


def _change(instances: Instances, name: str, config: Mapping[str, str]) -> None:
    if not config:
        return
    with limits_as_capacity():
        instances.change_config(name, config)
    log.info("guest_resized", guest=name, **{key.replace(".", "_"): text for key, text in config.items()})


def _change_running(instances: Instances, current: Guest, size: GuestSize) -> None:
    """Changes memory and cores separately: LXD refuses both if it refuses one.

    Memory first: LXD checks the limits of the project before it refuses memory because the instance runs, so that
    nothing has changed if a limit refuses either.
    """
    for key, text in sorted(_config(current, size).items(), reverse=True):
        if key == "limits.memory" and size.memory_mib < current.memory_mib:
            continue
        try:
            _change(instances, current.name, {key: text})
        except DriverFailed as error:
            if not any(text in str(error).lower() for text in _REFUSED_WHILE_RUNNING):
                raise
            log.info("guest_not_resized_while_running", guest=current.name, key=key, reason=str(error))
