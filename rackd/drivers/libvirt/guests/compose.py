"""Composes a domain with its volumes, or completes the one of an earlier attempt."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import structlog
from attrs import evolve

from common.errors import DriverFailed, InnkeeperError, NameTaken
from common.guests.guest_spec import GuestSpec
from common.values import Guest, PowerState
from rackd.drivers.libvirt.addresses import cloud_init_seed, dhcp_reservations
from rackd.drivers.libvirt.addresses.delivery import Delivery, Reservation
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.connection.objects import Domain
from rackd.drivers.libvirt.connection.storage_objects import Volume
from rackd.drivers.libvirt.definitions import domain_xml
from rackd.drivers.libvirt.definitions.cpu_xml import check_host
from rackd.drivers.libvirt.definitions.host_traits import HostTraits
from rackd.drivers.libvirt.definitions.metadata import reservations_in
from rackd.drivers.libvirt.guests import sriov
from rackd.drivers.libvirt.guests.disks import volumes
from rackd.drivers.libvirt.guests.disks.pools import GuestPool
from rackd.drivers.libvirt.guests.lookup import read_guest, tree_of
from rackd.drivers.libvirt.guests.nic_sources import check_sources
from rackd.drivers.libvirt.guests.power import starts_with_host
from rackd.drivers.libvirt.inventory.facts import numa_nodes

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


class Content(Protocol):
    """The content of the disks of a new guest. Its methods are called in this order."""

    def prepare(self, client: Client, spec: GuestSpec) -> None:
        """Removes volumes of `spec` that an earlier attempt left. Raises what prevents the copies."""

    def make(self, target: volumes.DiskTarget) -> Volume | None:
        """Returns the volume with its content; None: it is to be empty."""

    def seed(self) -> bytes | None:
        """Returns the image of the cloud-init data; None: those of the static addresses."""

    def definition(self, xml: str) -> str:
        """Returns the domain's definition. Raises if the content is not that of one moment."""


def compose(
    client: Client,
    spec: GuestSpec,
    traits: HostTraits,
    capabilities: domain_xml.DomainCapabilities,
    content: Content | None = None,
) -> Guest:
    """Returns the guest with `spec.marker`, powered off. Errors and idempotency are those of the driver contract."""
    domain_xml.check(spec, traits)
    domain_xml.check_firmware(spec, traits, capabilities)
    existing = client.domain(str(spec.marker.machine_id))
    if existing is not None:
        return _complete(client, spec, existing)
    if client.domain_named(spec.name) is not None:
        raise _name_taken(spec)
    if spec.pinned_core_ids or spec.numa_node_ids or spec.huge_page_size_kib is not None:
        check_host(spec, numa_nodes(client.capabilities(), online=client.online_cpus()))
    check_sources(client, spec.nics)
    if content is not None:
        content.prepare(client, spec)
    targets = volumes.find_targets(client, spec)
    delivery = dhcp_reservations.plan_delivery(client, spec.nics)
    functions = sriov.choose(client, spec.ref, spec.nics)
    created: list[Volume] = []
    domain = None
    try:
        prepared = evolve(
            _create_volumes(targets, delivery, spec, created, content),
            functions=functions,
            serial_log=_create_log(targets[0].pool, spec, traits, created),
        )
        xml = domain_xml.domain_xml(spec, prepared, traits, capabilities)
        domain = _define(client, spec, xml if content is None else content.definition(xml))
        sriov.check_still_free(client, spec.ref, functions)
        dhcp_reservations.reserve(client, prepared.reservations)
        if spec.autostart is not None:
            domain.set_autostart(on=starts_with_host(spec.autostart, PowerState.OFF))
        guest = read_guest(client, domain)
    except BaseException:
        undo(client, spec, domain, created, delivery.reservations)
        raise
    log.info("guest_composed", guest=spec.name, cores=spec.cores, memory_mib=spec.memory_mib, disks=len(prepared.disks))
    return guest


def _complete(client: Client, spec: GuestSpec, domain: Domain) -> Guest:
    """Completes what an earlier attempt defined. Its volumes exist: they are created before the domain."""
    guest = read_guest(client, domain)
    if guest.marker != spec.marker:
        raise NameTaken(
            f"The guest {guest.name} has the id {guest.guest_id} of {spec.name}, but not its ownership marker.",
            name=spec.name,
        )
    dhcp_reservations.reserve(client, reservations_in(tree_of(domain)))
    if spec.autostart is None:
        return guest
    domain.set_autostart(on=starts_with_host(spec.autostart, guest.power))
    return read_guest(client, domain)


def _create_volumes(
    targets: list[volumes.DiskTarget],
    delivery: Delivery,
    spec: GuestSpec,
    created: list[Volume],
    content: Content | None,
) -> domain_xml.PreparedResources:
    disks = volumes.create(targets, created, None if content is None else content.make)
    seed, image = None, None if content is None else content.seed()
    if image is None and delivery.network_config is not None:
        image = cloud_init_seed.image(cloud_init_seed.files(spec, delivery.network_config))
    if image is not None:
        seed = volumes.create_seed(targets[0].pool, spec.marker, image, created)
    return domain_xml.PreparedResources(disks=disks, seed=seed, reservations=delivery.reservations)


def _create_log(pool: GuestPool, spec: GuestSpec, traits: HostTraits, created: list[Volume]) -> str | None:
    """Returns the path of the serial log: beside the root disk, or without a folder there among libvirt's own logs,
    where only the host's administrator can read it.
    """
    if traits.domain_type == "test":
        return None
    path = volumes.create_serial_log(pool, spec.marker, created)
    if path is None and traits.privileged:
        return f"/var/log/libvirt/qemu/{spec.name}-serial0.log"
    return path


def _define(client: Client, spec: GuestSpec, xml: str) -> Domain:
    try:
        return client.define(xml, spec.name)
    except DriverFailed as error:
        other = client.domain_named(spec.name)
        if other is not None and other.uuid != str(spec.marker.machine_id):  # defined since the check
            raise _name_taken(spec) from error
        raise


def _name_taken(spec: GuestSpec) -> NameTaken:
    return NameTaken(f"The host already has a guest named {spec.name}.", name=spec.name)


def undo(
    client: Client,
    spec: GuestSpec,
    domain: Domain | None,
    created: list[Volume],
    reservations: Iterable[Reservation] = (),
) -> None:
    """Removes what a failed attempt created; logs what the host does not let it remove.

    Volumes stay if a domain exists that uses them, such as one that another rack defined in the meantime.
    """
    try:
        if domain is not None:
            dhcp_reservations.release(client, reservations)
            domain.undefine()
        if client.domain(str(spec.marker.machine_id)) is None:
            volumes.undo(created)
    except InnkeeperError as error:
        log.warning("failed_compose_not_undone", guest=spec.name, volumes=len(created), reason=str(error))
