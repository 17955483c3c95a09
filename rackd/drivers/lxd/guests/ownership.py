"""Adds the ownership marker to a foreign instance, or removes it, and changes nothing else."""

from __future__ import annotations

from common.errors import NameTaken, NotFound, Unsupported
from common.values import Guest, OwnershipMarker
from rackd.drivers.driver_errors import guest_not_found
from rackd.drivers.lxd.guests.instances import Instances
from rackd.drivers.lxd.inventory.ownership import (
    COMPLETED_KEY,
    NO_UUID,
    UUID_KEY,
    VM,
    config_of,
    marker_config,
    marker_of,
)


def adopt(instances: Instances, guest_id: str, name: str, marker: OwnershipMarker) -> Guest:
    """Returns the instance with the marker. Idempotent.

    Raises NotFound, Unsupported for a container, and NameTaken if the instance carries another marker or another
    instance carries this one.
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
        other = instances.marked_here(name=name, marker=marker)
        if other is not None:
            raise _already_marked(other["name"], marker, name)
        completed = {COMPLETED_KEY: config_of(found).get(UUID_KEY, NO_UUID)}
        instances.change_config(found["name"], {**marker_config(marker), **completed})
        found = instances.read(found["name"])
    return instances.guest(found)


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
    instances.change_config(name, dict.fromkeys((*marker_config(marker), COMPLETED_KEY), ""))


def _already_marked(carrier: str, marker: OwnershipMarker, name: str) -> NameTaken:
    return NameTaken(f"{carrier} already carries the marker of machine {marker.machine_id}.", name=name)
