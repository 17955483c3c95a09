"""Rules that all drivers apply when a guest gets other cores or another amount of memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from common.errors import DriverFailed, InvalidRequest, NotFound, OutOfCapacity, Unsupported, WrongState
from common.guests.guest_placement import GuestPlacement
from common.guests.sizes import GuestSize
from common.values import Guest, PowerState
from common.words.phrases import number_of
from rackd.drivers.driver_errors import MISREAD
from rackd.drivers.start_refusals import StartChange, refused

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


def size_of(guest: Guest) -> GuestSize:
    return GuestSize(cores=guest.cores, memory_mib=guest.memory_mib)


def check_resizable(guest: Guest, size: GuestSize, *, on_numa_nodes: bool) -> None:
    """Raises Unsupported for another number of cores if some are pinned: the driver cannot choose the pins.

    Raises WrongState for another size of a guest that is not off and has pinned cores, huge pages or NUMA nodes.
    """
    if (size.cores, size.memory_mib) == (guest.cores, guest.memory_mib):
        return
    if size.cores != guest.cores and guest.pinned_core_ids:
        raise Unsupported(
            f"{guest.name} has {number_of(guest.cores, 'core')}, pinned to {_listed(guest.pinned_core_ids)}. Innkeeper "
            f"does not choose cores of the host for {number_of(size.cores, 'core')}.",
            name=guest.name,
        )
    reasons = {
        "pinned cores": bool(guest.pinned_core_ids),
        "huge pages": guest.huge_pages_backed,
        "memory of chosen NUMA nodes": on_numa_nodes,
    }
    found = [reason for reason, applies in reasons.items() if applies]
    if found and guest.power is not PowerState.OFF:
        raise WrongState(
            f"{guest.name} has {' and '.join(found)}: its size can be changed only while it is off.", name=guest.name
        )


def needs_placing(guest: Guest, size: GuestSize, placement: GuestPlacement) -> bool:
    """Returns whether the size or the placement of the guest may differ from these; drivers then set all of them.

    Raises InvalidRequest unless each virtual core has one pinned core or none has, WrongState for a guest that is not
    off and differs.
    """
    pinned = placement.pinned_core_ids
    if pinned and len({*pinned}) != size.cores:
        raise InvalidRequest(
            f"Pin exactly one core for each virtual core: {size.cores} virtual cores, {len({*pinned})} pinned cores."
        )
    if guest.power is PowerState.OFF:
        return True
    in_pages = placement.huge_page_size_kib is not None
    same = {*guest.pinned_core_ids} == {*pinned} and guest.huge_pages_backed is in_pages
    if same and size_of(guest) == size:
        return False
    raise WrongState(
        f"{guest.name} is {guest.power.value}: pinned cores, huge pages and the size of what is bound to them can be "
        "changed only while it is off.",
        name=guest.name,
    )


def check_cores(name: str, cores: int, host_cores: int, host: str) -> None:
    """Raises OutOfCapacity for more cores than the host has, on a hypervisor that starts no such guest."""
    if cores > host_cores:
        raise OutOfCapacity(
            f"{name} cannot have {number_of(cores, 'core')}: {host} has {number_of(host_cores, 'core')}.",
            requested=cores,
            total=host_cores,
        )


@contextmanager
def before_start(name: str, change: StartChange = StartChange.SIZE) -> Iterator[None]:
    """Logs why a guest starts with the size that it has, and notes it for the rack's reply: the rest stays pending.

    NotFound is of a disk that the guest has lost.
    """
    try:
        yield
    except (DriverFailed, NotFound, OutOfCapacity, Unsupported, WrongState, *MISREAD) as error:
        log.warning("size_not_changed", guest=name, reason=str(error), exc_info=isinstance(error, MISREAD))
        refused(change, error)


def _listed(core_ids: tuple[int, ...]) -> str:
    return f"{number_of(len(core_ids), 'core')} of the host ({', '.join(map(str, core_ids))})"
