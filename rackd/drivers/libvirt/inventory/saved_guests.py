"""Counts guests whose memory was saved (`virsh managedsave`) with what their next start restores.

Such a guest is off and may have got another definition since. Its next start takes cores, memory and pins of the time
when its memory was saved, unless somebody discards that: so the larger of both counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import structlog
from attrs import evolve

from common.errors import Busy, DriverFailed, NotFound, Unsupported
from common.values import Guest, PowerState
from rackd.drivers.libvirt.connection.objects import Domain
from rackd.drivers.libvirt.definitions.domain_config import domain_config
from rackd.drivers.libvirt.definitions.size_xml import size_in
from rackd.drivers.libvirt.xml import parse

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


def with_saved_sizes(guests: Iterable[Guest], saved: Mapping[str, Domain]) -> tuple[Guest, ...]:
    """`saved` has the domains with saved memory, by UUID. Makes one call for each."""
    return tuple(
        with_saved_size(guest, saved[guest.guest_id]) if guest.guest_id in saved else guest for guest in guests
    )


def with_saved_size(guest: Guest, domain: Domain) -> Guest:
    """Returns the guest as it is if its saved memory cannot be read: then no start restores it."""
    if guest.power is not PowerState.OFF:
        return guest
    try:
        tree = parse(domain.saved_definition(), f"the saved memory of {guest.name}")
        size, config = size_in(tree), domain_config(tree)
    except (NotFound, DriverFailed, Unsupported, Busy, ValueError) as error:
        log.info("saved_memory_not_read", guest=guest.name, reason=str(error))
        return guest
    return evolve(
        guest,
        cores=max(guest.cores, size.cores),
        memory_mib=max(guest.memory_mib, size.memory_mib),
        pinned_core_ids=tuple(sorted({*guest.pinned_core_ids, *config.pinned_core_ids})),
        huge_pages_backed=guest.huge_pages_backed or config.huge_pages_backed,
    )
