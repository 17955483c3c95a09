"""Adds the ownership marker to a domain, writes a generation in it, or removes it.

Changes nothing else.
"""

from __future__ import annotations

import structlog

from common.errors import InvalidRequest, NameTaken, NotFound, Unsupported
from common.values import Guest, OwnershipMarker
from rackd.drivers.driver_errors import guest_not_found
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.connection.objects import Domain
from rackd.drivers.libvirt.definitions.metadata import MARKER_NAMESPACE, marker_element, raised_generation
from rackd.drivers.libvirt.guests.lookup import markers_of, read_guest
from rackd.drivers.libvirt.xml import parse

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


def adopt(client: Client, guest_id: str, name: str, marker: OwnershipMarker) -> Guest:
    """Returns the domain with the marker. Idempotent.

    Raises NotFound, NameTaken if it carries another marker, InvalidRequest if the marker's machine id is not its
    UUID, and Unsupported for a transient domain.
    """
    domain = client.domain(guest_id)
    if domain is None:
        raise NotFound(f"The host has no guest {name} (id {guest_id}).", name=name)
    if domain.uuid != str(marker.machine_id):
        raise InvalidRequest(
            f"The guest {domain.name} has the id {domain.uuid}, so it cannot become machine {marker.machine_id}."
        )
    if not domain.is_persistent():
        raise Unsupported(
            f"The guest {domain.name} is transient: libvirt deletes it when it is switched off. "
            "Make it persistent with virsh define, then adopt it."
        )
    markers = markers_of(domain)
    if markers - {marker, None}:
        raise NameTaken(f"The guest {domain.name} already carries another ownership marker.", name=name)
    if None in markers:
        domain.set_marker(marker_element(marker), MARKER_NAMESPACE)
        log.info("guest_adopted", guest=domain.name)
    return read_guest(client, domain)


def disown(client: Client, guest_id: str, name: str, marker: OwnershipMarker, *, exactly: bool) -> None:
    """Removes the marker. Idempotent.

    With `exactly`, raises NotFound unless the domain has this id and name, and this marker or none.
    """
    domain = client.domain(str(marker.machine_id))
    markers = set() if domain is None else markers_of(domain)
    matches = domain is not None and (domain.uuid, domain.name) == (guest_id, name)
    if exactly and not (matches and (marker in markers or markers == {None})):
        raise guest_not_found(name, marker)
    if domain is not None and marker in markers:
        domain.set_marker(None, MARKER_NAMESPACE)
        log.info("guest_disowned", guest=domain.name)


def set_generation(domain: Domain, generation: int) -> None:
    """Writes the generation in the marker, unless that has a higher one. Idempotent.

    The running domain and its persistent definition each keep what else their own marker records.
    """
    states = [(domain.definition(), False), *([(domain.xml(), True)] if domain.is_active() else [])]
    for xml, live in states:
        element = raised_generation(parse(xml, f"the guest {domain.name}"), generation)
        if element is not None:
            domain.set_marker_in(element, MARKER_NAMESPACE, live=live)
            log.info("generation_written", guest=domain.name, generation=generation, live=live)
