"""Deletes a machine's domain with its volumes and DHCP reservations."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import PurePosixPath
from xml.etree import ElementTree as ET

import structlog

from common.errors import NotFound
from common.values import GuestRef, PowerAction
from rackd.drivers.libvirt.addresses import dhcp_reservations
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.connection.objects import Domain
from rackd.drivers.libvirt.definitions.firmware_xml import set_uefi
from rackd.drivers.libvirt.definitions.metadata import has_firmware_variables, marker_in, reservations_in
from rackd.drivers.libvirt.guests import power
from rackd.drivers.libvirt.guests.disks import volumes
from rackd.drivers.libvirt.guests.disks.volume_users import VolumeUsers, volume_users
from rackd.drivers.libvirt.guests.lookup import definition_of, pool_paths, tree_of
from rackd.drivers.libvirt.inventory.guests import disk_paths
from rackd.drivers.libvirt.xml import Element, text_at

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


def delete(
    client: Client,
    guest: GuestRef,
    volume_refs: Iterable[tuple[str, str]],
    mac_addresses: tuple[str, ...],
    *,
    closing: threading.Event,
    only: str | None = None,
) -> None:
    """Deletes the domain, `volume_refs` (pool id, name) that belong to its marker, and its reservations. Idempotent.

    A domain without the marker, or with another UUID than `only`, is not changed. If the domain does not exist,
    `mac_addresses` identify its reservations. Logs and does not delete volumes that another guest has, or on which
    another volume depends.

    Raises WrongState, before anything is changed, if one of the volumes is in an inactive storage pool.
    """
    owned = set(volume_refs)
    domain = client.domain(str(guest.marker.machine_id))
    if domain is not None:
        tree = tree_of(domain)
        if marker_in(tree) != guest.marker or only not in (None, domain.uuid):
            log.warning("unmarked_guest_not_deleted", guest=domain.name)
            return
        paths = pool_paths(client)
        places = filter(None, map(paths.volume_at, disk_paths(tree).values()))
        owned |= {(pool_id, volume) for pool_id, volume in places if volume is not None}
    to_delete = volumes.volumes_to_delete(client, guest.marker, owned)
    users = volume_users(client)
    if domain is not None:
        dhcp_reservations.release(client, reservations_in(tree))
        _delete_domain(client, domain, tree, closing, users)
    elif mac_addresses:
        dhcp_reservations.release(client, dhcp_reservations.reserved_for(client, mac_addresses))
    volumes.delete(client, to_delete, users, but="" if domain is None else domain.name)


def _delete_domain(client: Client, domain: Domain, tree: Element, closing: threading.Event, users: VolumeUsers) -> None:
    variables = text_at(tree, "os/nvram")
    shared = users.of(PurePosixPath(variables).name, variables) - {domain.name} if variables else set()
    try:
        power.switch(domain, PowerAction.FORCE_OFF, grace_s=0.0, closing=closing, may_go=True)
        if has_firmware_variables(tree):
            domain = _with_uefi(client, domain)  # otherwise libvirt does not delete the file of the variables
        if shared:
            log.warning("shared_firmware_variables_not_deleted", guest=domain.name, guests=sorted(shared))
        domain.undefine(keep_variables=bool(shared))
    except NotFound:
        log.info("guest_already_deleted", guest=domain.name)


def _with_uefi(client: Client, domain: Domain) -> Domain:
    definition = definition_of(domain)
    set_uefi(definition)
    return client.define(ET.tostring(definition, encoding="unicode"), domain.name)
