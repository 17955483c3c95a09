"""Deletes the instance of a machine, with what interrupted calls left of it, and its volumes.

A backup that somebody restores beside the instance has its id and its marker, but is not the machine's: it stays, and
becomes a foreign guest before the instance is deleted. So a call that is repeated does not take it for the instance.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import structlog

from common.errors import WrongState
from common.values import GuestRef
from rackd.drivers.lxd.connection.client import Client, Json
from rackd.drivers.lxd.guests import compose
from rackd.drivers.lxd.guests.disks.volumes import delete_volumes
from rackd.drivers.lxd.guests.image_files import images
from rackd.drivers.lxd.guests.instances import Instances
from rackd.drivers.lxd.guests.ownership import remove_marker
from rackd.drivers.lxd.guests.rebuild import replacement
from rackd.drivers.lxd.guests.safeguards import check_deletable
from rackd.drivers.lxd.inventory.ownership import (
    MACHINE_KEY,
    REPLACES_KEY,
    config_of,
    id_of,
    is_temporary,
    replacement_name,
)

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


def delete_guest(
    client: Client,
    instances: Instances,
    guest: GuestRef,
    volumes: Iterable[tuple[str, str]],
    power: compose.PowerFactory,
    *,
    only: str | None = None,
) -> None:
    """Behaves as `decompose` of the driver contract says; `only` is its `guest_id`.

    Raises WrongState, with nothing changed, if several instances have the marker and none has the guest's name, and if
    the server refuses to delete the instance.
    """
    marked = [one for one in instances.all_marked(name=guest.name, marker=guest.marker) if only in (None, id_of(one))]
    temporary = [one for one in marked if is_temporary(one, guest.marker)]
    others = [one for one in marked if one not in temporary]
    own = _own(instances, guest, others, temporary)
    check_deletable(instances, *(() if own is None else (own,)), *temporary)
    for one in others:
        if one is not own:
            remove_marker(instances, one["name"], guest.marker)
            log.warning("copy_left", guest=guest.name, copy=one["name"])
    owned = set(volumes)
    for one in (*(() if own is None else (own,)), *temporary):
        owned |= _delete(instances, guest, one, power)
    names = {guest.name, *(() if own is None else (own["name"],))}
    for one in instances.all_marked_here(name=guest.name, marker=guest.marker):
        if only not in (None, id_of(one)):
            continue
        if one["name"] in names or is_temporary(one, guest.marker):  # LXD ended a move meanwhile
            owned |= _delete(instances, guest, one, power)
    delete_volumes(client, guest.marker, owned, instances.scope)
    images.remove_private(client, guest.marker, instances.scope)  # of an import that was interrupted


def _own(instances: Instances, guest: GuestRef, others: Sequence[Json], temporary: Sequence[Json]) -> Json | None:
    """Returns the one of `others` that is the machine's own: the one with its name, or for which a placeholder stands.
    If it or the machine was renamed, it is the only one.
    """
    names = [guest.name, *(config_of(one).get(REPLACES_KEY, "") for one in temporary)]
    for name in names:
        for one in others:
            if one["name"] == name:
                return one
    if len(others) > 1 or (others and temporary):
        raise _unclear(instances, guest, [str(one["name"]) for one in others], [str(one["name"]) for one in temporary])
    return next(iter(others), None)


def _unclear(instances: Instances, guest: GuestRef, others: Sequence[str], temporary: Sequence[str]) -> WrongState:
    command = f"{instances.capabilities.dialect.client} config unset INSTANCE {MACHINE_KEY}"
    kept = f" Do not change {', '.join(temporary)}: it is temporary, and is deleted with the VM." * bool(temporary)
    return WrongState(
        f"{guest.name} is not deleted: several instances carry its marker, and none has its name, so it is not known "
        f"whether its own is one of: {', '.join(others)}. Make each of these that is a restored backup a foreign one "
        f"with: {command} --project {instances.scope.project}.{kept}",
        name=guest.name,
    )


def _delete(instances: Instances, guest: GuestRef, one: Json, power: compose.PowerFactory) -> set[tuple[str, str]]:
    """Deletes the instance. Returns the storage pools and names of its volumes."""
    name = str(one["name"])
    if name == replacement_name(guest.marker):
        replacement.wait_until_idle(instances, name)
    owned = {(disk.pool_id or "", disk.volume or "") for disk in instances.guest(one).disks}
    compose.delete_instance(instances, name, power)
    return owned
