"""Changes cores and memory of a domain: in its definition, and as far as possible while it runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from xml.etree import ElementTree as ET

import structlog

from common.errors import Busy, DriverFailed, Unsupported
from common.guests.guest_placement import GuestPlacement, PlacedGuest
from common.guests.sizes import GuestSize, Resized
from common.values import GuestRef, PowerState
from common.words.phrases import number_of
from rackd.drivers.driver_errors import required_guest
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.connection.objects import Domain
from rackd.drivers.libvirt.definitions.cpu_xml import check_host, check_pages, set_placement
from rackd.drivers.libvirt.definitions.memory_device_xml import (
    absent_kib,
    given_kib,
    memory_device,
    requesting,
    taken_kib,
)
from rackd.drivers.libvirt.definitions.size_xml import is_on_numa_nodes, maximum_cores, memory_kib, set_size, size_in
from rackd.drivers.libvirt.guests.live_devices import check_next_start_is_boot
from rackd.drivers.libvirt.guests.lookup import definition_of, marked_domain, read_guest, tree_of
from rackd.drivers.libvirt.guests.power import POLL_EVERY_S
from rackd.drivers.libvirt.inventory.facts import numa_nodes
from rackd.drivers.libvirt.inventory.guests import power_of
from rackd.drivers.libvirt.xml import attribute
from rackd.drivers.resizing import check_resizable, needs_placing, size_of

TAKES_MEMORY_S = 5.0  # what a system needs for some GiB; one that is not up takes nothing

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


def resize(
    client: Client, guest: GuestRef, size: GuestSize, maximum: int | None, *, closing: threading.Event
) -> Resized:
    """Returns the size that the domain has now. Raises as the driver contract says.

    The definition gets the whole size, so that the next start has it, whoever starts the guest. `maximum` is the
    number of cores that the emulator supports; None if it is unknown. `closing` interrupts the wait for the guest.
    """
    domain = required_guest(marked_domain(client, guest), guest)
    define(client, domain, size, maximum)
    if power_of(domain.state()) is not PowerState.OFF:
        _change_running(domain, size)
        _add_memory(domain, size.memory_mib * 1024, closing)
    found = read_guest(client, domain)
    return Resized(size=size_of(found), power=found.power)


def resize_placed(
    client: Client, guest: GuestRef, size: GuestSize, placement: GuestPlacement, maximum: int | None
) -> Resized:
    """Returns the size of the domain once its definition has it and the placement, in one change.

    Raises as the driver contract says.
    """
    domain = required_guest(marked_domain(client, guest), guest)
    if needs_placing(read_guest(client, domain), size, placement):
        check_next_start_is_boot(domain, "size")
        wanted = PlacedGuest.of(domain.name, size, placement)
        _check_maximum(domain, size, maximum)
        check_host(wanted, numa_nodes(client.capabilities(), online=client.online_cpus()))
        tree = definition_of(domain)
        resized = set_size(tree, size)
        if set_placement(tree, wanted) or resized:
            client.define(ET.tostring(tree, encoding="unicode"), domain.name)
            log.info("guest_placed", guest=domain.name, cores=size.cores, memory_mib=size.memory_mib)
    found = read_guest(client, domain)
    return Resized(size=size_of(found), power=found.power)


def _check_maximum(domain: Domain, size: GuestSize, maximum: int | None) -> None:
    if maximum is not None and size.cores > maximum:
        raise Unsupported(
            f"{domain.name} cannot have {number_of(size.cores, 'core')}: the host's emulator supports {maximum}."
        )


def define(client: Client, domain: Domain, size: GuestSize, maximum: int | None) -> None:
    """Gives the definition this size, unless it has it. Raises as the driver contract says."""
    _check_maximum(domain, size, maximum)
    tree, found = definition_of(domain), read_guest(client, domain)
    check_resizable(found, size, on_numa_nodes=is_on_numa_nodes(tree))
    if size != size_of(found):
        check_next_start_is_boot(domain, "size")
    page_kib = attribute(tree, "memoryBacking/hugepages/page", "size")  # libvirt writes it in KiB
    grows = size.memory_mib > size_in(tree).memory_mib
    if grows and page_kib and (nodes := numa_nodes(client.capabilities(), online=client.online_cpus())):
        check_pages(domain.name, size.memory_mib, int(page_kib), nodes)
    if set_size(tree, size):
        client.define(ET.tostring(tree, encoding="unicode"), domain.name)
        log.info("guest_resized", guest=domain.name, cores=size.cores, memory_mib=size.memory_mib)


def _change_running(domain: Domain, size: GuestSize) -> None:
    """Switches cores on and off, and gives memory back that a balloon has taken: no more than the domain started with.

    Never takes memory away.
    """
    live = tree_of(domain)
    before = size_in(live)
    if size.cores != before.cores and size.cores <= maximum_cores(live):
        with _refused_while_running(domain):
            domain.set_live_cores(size.cores)
    wanted_kib = min(size.memory_mib * 1024, memory_kib(live) - absent_kib(live))
    if size.memory_mib != before.memory_mib and wanted_kib > memory_kib(live, "currentMemory"):
        with _refused_while_running(domain):
            domain.set_live_memory(wanted_kib)


def _add_memory(domain: Domain, wanted_kib: int, closing: threading.Event) -> None:
    """Asks the system of the guest to take memory of its device. What it has not taken in time is not asked any more.

    Its definition has all of it: the next start has it at once.
    """
    device = memory_device(tree_of(domain))
    missing_kib = wanted_kib - size_in(tree_of(domain)).memory_mib * 1024
    if device is None or missing_kib <= 0:
        return
    before_kib = given_kib(device)
    asked = requesting(device, before_kib + missing_kib)
    if asked is None:
        return
    with _refused_while_running(domain):
        domain.request_memory(ET.tostring(asked, encoding="unicode"))
        ends_at = time.monotonic() + TAKES_MEMORY_S
        while (now := memory_device(tree_of(domain))) is not None and taken_kib(now) < before_kib + missing_kib:
            if time.monotonic() >= ends_at or closing.wait(POLL_EVERY_S):
                withdrawn = requesting(now, max(before_kib, taken_kib(now)))
                if withdrawn is not None:
                    domain.request_memory(ET.tostring(withdrawn, encoding="unicode"))
                return


@contextmanager
def _refused_while_running(domain: Domain) -> Iterator[None]:
    """Logs the refusal: the definition has the size, so the next start applies it."""
    try:
        yield
    except (Busy, DriverFailed, Unsupported) as error:
        log.info("guest_not_resized_while_running", guest=domain.name, reason=str(error))
