"""The file to which virtlogd writes a guest's serial output: a volume in the storage pool of its root disk.

So it can be read through a remote connection, survives every daemon, is removed like the guest's other volumes, and has
virtlogd's limit of size.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from xml.etree import ElementTree as ET

import structlog

from common.disks.volume_names import marker_of_volume, serial_log_name
from common.errors import DriverFailed, Unsupported
from common.guests.guest_spec import GuestSpec
from common.values import GuestRef, OwnershipMarker
from rackd.drivers.driver_errors import required_guest
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.connection.objects import Domain
from rackd.drivers.libvirt.guests.disks.pools import GuestPool
from rackd.drivers.libvirt.guests.disks.volumes import create_serial_log
from rackd.drivers.libvirt.guests.lookup import definition_of, marked_domain, tree_of
from rackd.drivers.libvirt.xml import Element, attribute

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

_READS = 2  # the file becomes shorter when the guest starts, or when virtlogd begins a new part


def read(client: Client, guest: GuestRef, *, max_bytes: int) -> bytes:
    """Returns the end of the log. Raises Unsupported if the guest has none that a storage pool shows."""
    domain = required_guest(marked_domain(client, guest), guest)
    path = _path_in(tree_of(domain), guest.marker)
    if path is None:
        raise Unsupported(
            f"{guest.name} keeps no serial log that Innkeeper can read: it was not composed by Innkeeper, or its root "
            "disk is in a storage pool of block devices."
        )
    volume = client.volume_at(path)
    if volume is None:
        raise Unsupported(f"The serial log of {guest.name}, {path}, is in no active storage pool.")
    for left in reversed(range(_READS)):
        size_bytes = volume.length_bytes()
        try:
            return volume.read(max(0, size_bytes - max_bytes), min(size_bytes, max_bytes)) if size_bytes else b""
        except DriverFailed:
            if not left:
                raise
    return b""


def add(tree: Element, spec: GuestSpec, pool: GuestPool) -> None:
    """Gives a domain that Innkeeper composed without such a log one, from its next start on. Idempotent."""
    if marker_of_volume(spec.disks[0].volume) != spec.marker:
        return  # adopted
    port = next(iter(tree.iterfind("devices/serial")), None)
    if port is None or _path_in(tree, spec.marker) is not None:
        return
    path = create_serial_log(pool, spec.marker, created=[])
    if path is None:
        return
    for found in port.findall("log"):
        port.remove(found)
    ET.SubElement(port, "log", file=path, append="off")


def remove_if_unwritable(client: Client, domain: Domain, marker: OwnershipMarker, error: DriverFailed) -> bool:
    """Removes the log from a domain that did not start because virtlogd cannot open the file, such as in a folder that
    SELinux protects. Returns whether it did: then the domain may start.
    """
    tree = definition_of(domain)
    path = _path_in(tree, marker)
    if path is None or path not in str(error):
        return False
    for port in tree.iterfind("devices/*[log]"):
        for found in port.findall("log"):
            if found.get("file") == path:
                port.remove(found)
    client.define(ET.tostring(tree, encoding="unicode"), domain.name)
    log.warning("serial_log_removed", guest=domain.name, path=path, reason=str(error))
    return True


def _path_in(tree: Element, marker: OwnershipMarker) -> str | None:
    paths = (attribute(port, "log", "file") for port in tree.iterfind("devices/*[log]"))
    return next((path for path in paths if PurePosixPath(path).name == serial_log_name(marker)), None)
