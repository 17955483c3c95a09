"""Adds the ownership marker to an instance, writes a generation beside it, or removes both.

Changes nothing else.
"""

from __future__ import annotations

import structlog

from common.errors import DriverFailed, NameTaken, NotFound, Unsupported
from common.values import Guest, GuestRef, OwnershipMarker
from rackd.drivers.driver_errors import guest_not_found, required_guest
from rackd.drivers.generation import is_higher
from rackd.drivers.lxd.connection.client import path
from rackd.drivers.lxd.guests.instances import Instances
from rackd.drivers.lxd.inventory.addresses import read_snapshots_of
from rackd.drivers.lxd.inventory.ownership import (
    COMPLETED_KEY,
    GENERATION_KEY,
    NO_UUID,
    UUID_KEY,
    VM,
    config_of,
    generation_of,
    marker_config,
    marker_of,
    replacement_name,
)
from rackd.drivers.lxd.inventory.removal_facts import permanence_command, removal_facts_of
from rackd.drivers.removal_checks import check_adoptable

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

_TRIES = 5  # of a change, while something else changes the instance


def adopt(instances: Instances, guest_id: str, name: str, marker: OwnershipMarker) -> Guest:
    """Returns the instance with the marker. Idempotent.

    Raises NotFound, Unsupported for a container or an ephemeral instance, and NameTaken if the instance carries another
    marker or another instance carries this one.
    """
    found = instances.by_id(guest_id, name)
    if found is None:
        raise NotFound(f"The host has no instance {name} with the id {guest_id}.", name=name)
    if found.get("type") != VM:
        raise Unsupported(f"{found['name']} is a container; only virtual machines can be adopted.")
    present = marker_of(found)
    if present is not None and present != marker:
        raise _already_marked(found["name"], present, name)
    if present is None:
        dialect = instances.capabilities.dialect
        stays = f"Make it permanent first: {permanence_command(found, dialect)}"
        check_adoptable(str(found["name"]), removal_facts_of(found, (), instances.capabilities), remedy=stays)
        other = instances.marked_here(name=name, marker=marker)
        if other is not None:
            raise _already_marked(other["name"], marker, name)
        completed = {COMPLETED_KEY: config_of(found).get(UUID_KEY, NO_UUID)}
        # A copy of one of our instances has the generation of its source.
        instances.change_config(found["name"], {**marker_config(marker), **completed, GENERATION_KEY: ""})
        found = instances.read(found["name"])
    return instances.guest(found, snapshots=read_snapshots_of(instances.client, found, instances.scope))


def disown(instances: Instances, guest_id: str, name: str, marker: OwnershipMarker, *, exactly: bool) -> None:
    """Removes the marker. Idempotent.

    With `exactly`, raises NotFound unless the instance has this id and name, and this marker or none.
    """
    found = instances.by_id(guest_id, name) if exactly else instances.marked(name=name, marker=marker)
    if exactly and (found is None or found["name"] != name or marker_of(found) not in {marker, None}):
        raise guest_not_found(name, marker)
    if found is not None and marker_of(found) == marker:
        remove_marker(instances, found["name"], marker)


def remove_marker(instances: Instances, name: str, marker: OwnershipMarker) -> None:
    """Makes the instance a foreign one. Idempotent."""
    instances.change_config(name, dict.fromkeys((*marker_config(marker), COMPLETED_KEY, GENERATION_KEY), ""))


def set_generation(instances: Instances, guest: GuestRef, generation: int) -> None:
    """Writes the generation, unless the instance has a higher one. Idempotent. Raises NotFound without the instance.

    The placeholder of an interrupted replacement gets it too: the instance may be created from its config.
    """
    marked = instances.all_marked(name=guest.name, marker=guest.marker)
    names = [str(required_guest(next(iter(marked), None), guest)["name"])]
    placeholder = replacement_name(guest.marker)
    names += [placeholder for one in marked[1:] if one["name"] == placeholder]
    for name in names:
        _raise_generation(instances, name, generation)


def _raise_generation(instances: Instances, name: str, generation: int) -> None:
    """Reads the instance again if something else has changed it: LXD then refuses the ETag, or an update at once with
    another one.
    """
    for left in reversed(range(_TRIES)):
        found, etag = instances.client.get_with_etag(path("instances", name), project=instances.scope.project)
        if not is_higher(generation, generation_of(found)):
            return
        try:
            instances.change_config(name, {GENERATION_KEY: str(generation)}, etag=etag)
        except DriverFailed:
            if not left:
                raise
        else:
            log.info("generation_written", guest=name, generation=generation)
            return


def _already_marked(carrier: str, marker: OwnershipMarker, name: str) -> NameTaken:
    return NameTaken(f"{carrier} already carries the marker of machine {marker.machine_id}.", name=name)
