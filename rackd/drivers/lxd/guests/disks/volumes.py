"""Creates, finds and deletes the custom volumes of one machine, all named after its marker."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import structlog
from attrs import evolve, frozen

from common.disks.volume_names import marker_of_artifact, marker_of_volume
from common.errors import InnkeeperError, NotFound, OutOfCapacity
from common.guests.guest_spec import DiskSpec
from common.hosts.discovery import VolumeRef
from common.values import OwnershipMarker
from rackd.drivers.driver_errors import reject_volumes_in_use
from rackd.drivers.lxd.connection.client import Client, Json, Scope, path
from rackd.drivers.lxd.connection.failures import Conflict
from rackd.drivers.lxd.guests import instance_config
from rackd.drivers.lxd.inventory.pools import check_pools
from rackd.drivers.lxd.inventory.volume_index import Volume, parse_volume

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


@frozen(kw_only=True)
class CreatedVolume:
    """A volume and its cluster member (empty outside a cluster)."""

    pool: str
    name: str
    location: str = ""


def check_space(client: Client, disks: Iterable[tuple[str, int]], scope: Scope, *, what: str) -> None:
    """Raises NotFound for a missing storage pool, OutOfCapacity if the disks, as (pool, bytes), do not fit; `what`
    begins its message.
    """
    requested: dict[str, list[int]] = {}
    for pool, size_bytes in disks:
        requested.setdefault(pool, []).append(size_bytes)
    check_pools(client, requested)
    for pool, sizes in requested.items():
        space = client.get(path("storage-pools", pool, "resources"), target=scope.member or "")["space"]
        left = max(0, int(space.get("total") or 0) - int(space.get("used") or 0))
        if sum(sizes) > left:
            needed = max(sizes) if max(sizes) > left else sum(sizes)
            raise OutOfCapacity(
                f"{what} {needed} bytes; the storage pool {pool} has {left} left.",
                pool_id=pool,
                requested_bytes=needed,
                left_bytes=left,
            )


def create(client: Client, disks: Iterable[DiskSpec], scope: Scope, created: list[CreatedVolume]) -> None:
    """Creates the volumes that do not exist. Appends each new one to `created` at once, so that it can be undone."""
    for disk in disks:
        existing = _existing(client, disk.pool_id, scope)
        if _usable(client, disk, existing.get(disk.volume, ()), scope):
            continue
        try:
            client.post(
                path("storage-pools", disk.pool_id, "volumes", "custom"),
                instance_config.custom_volume(disk),
                project=scope.project,
                target=scope.member or "",
            )
        except Conflict:
            log.info("volume_already_exists", volume=disk.volume, pool=disk.pool_id)  # created by another rack
            continue
        created.append(CreatedVolume(pool=disk.pool_id, name=disk.volume, location=scope.member or ""))


def _usable(client: Client, disk: DiskSpec, existing: Sequence[Volume], scope: Scope) -> bool:
    """Returns whether the volume exists and an instance uses it. Deletes an unused one: it may be incomplete."""
    for volume in existing:
        elsewhere = scope.member is not None and volume.location != scope.member
        if volume.attached and volume.size_bytes == disk.size_bytes and not elsewhere:
            return True
        log.warning("incomplete_volume_deleted", volume=volume.name, pool=volume.pool, member=volume.location)
        _delete(client, CreatedVolume(pool=volume.pool, name=volume.name, location=volume.location), scope)
    return False


def _existing(client: Client, pool: str, scope: Scope, *, named: str = "") -> dict[str, list[Volume]]:
    """Returns a pool's custom volumes that are named after a marker, and those `named` so, by name.

    Each cluster member may have one of a name.
    """
    where = path("storage-pools", pool, "volumes", "custom")
    found: dict[str, list[Volume]] = {}
    listed: list[Json] = client.get(where, recursion="1", project=scope.project)
    for one in listed:
        if one["name"] == named or marker_of_volume(str(one["name"])) is not None:
            volume = parse_volume(one, pool)
            found.setdefault(volume.name, []).append(volume)
    return found


def undo(client: Client, created: Iterable[CreatedVolume], scope: Scope) -> list[CreatedVolume]:
    """Deletes these volumes. Returns and logs those that cannot be deleted; discovery finds them again by name."""
    left = []
    for volume in created:
        try:
            _delete(client, volume, scope)
        except InnkeeperError as error:
            log.warning("volume_not_deleted", volume=volume.name, pool=volume.pool, reason=str(error))
            left.append(volume)
    return left


def delete_volumes(client: Client, marker: OwnershipMarker, volumes: Iterable[tuple[str, str]], scope: Scope) -> None:
    """Deletes those of `volumes` (pool, name) that belong to `marker`, except those that an instance still uses.
    Idempotent.
    """
    wanted: dict[str, set[str]] = {}
    for pool, name in volumes:
        if marker_of_volume(name) == marker:
            wanted.setdefault(pool, set()).add(name)
    for pool, names in sorted(wanted.items()):
        try:
            existing = _existing(client, pool, scope)
        except NotFound as error:
            log.info("storage_pool_not_found", pool=pool, reason=str(error))
            continue
        for volume in (one for name in sorted(names) for one in existing.get(name, ())):
            if volume.attached:
                log.warning("shared_volume_not_deleted", volume=volume.name, pool=pool)
            else:
                _delete(client, CreatedVolume(pool=pool, name=volume.name, location=volume.location), scope)


def delete_orphaned(
    client: Client,
    marker: OwnershipMarker | None,
    volumes: Iterable[VolumeRef],
    scope: Scope,
    *,
    volume_project: str | None,
) -> None:
    """Deletes those of `volumes` that are named after `marker` (None: all) and are on this member. Idempotent.

    Raises WrongState for those in use. `volume_project` holds the volumes of the scope's project. They are accessed
    through the scope's project, because a restricted certificate may not use the other one.
    """
    used: dict[tuple[str, str], list[str]] = {}
    for wanted in volumes:
        if marker is not None and marker_of_artifact(wanted.name) != marker:
            continue
        through = scope if wanted.project in {"", volume_project} else evolve(scope, project=wanted.project)
        name = wanted.name.removeprefix(f"{through.project}/")  # with which discovery lists a volume that is not ours
        try:
            existing = _existing(client, wanted.pool_id, through, named=name).get(name, ())
        except NotFound as error:
            log.info("volume_already_deleted", volume=wanted.name, pool=wanted.pool_id, reason=str(error))
            continue
        for volume in existing:
            if not volume.is_on(scope.member):
                continue
            if volume.attached:
                used[wanted.pool_id, wanted.name] = ["an instance"]
                continue
            log.info("orphaned_volume_deleted", volume=volume.name, pool=volume.pool, project=through.project)
            _delete(client, CreatedVolume(pool=volume.pool, name=volume.name, location=volume.location), through)
    reject_volumes_in_use(used)


def delete_volume(client: Client, volume: Volume, scope: Scope) -> None:
    """Deletes the volume, which no instance has. Idempotent."""
    _delete(client, CreatedVolume(pool=volume.pool, name=volume.name, location=volume.location), scope)


def _delete(client: Client, volume: CreatedVolume, scope: Scope) -> None:
    target = "" if volume.location in {"", "none"} else volume.location
    try:
        client.delete(
            path("storage-pools", volume.pool, "volumes", "custom", volume.name), project=scope.project, target=target
        )
    except NotFound:
        log.info("volume_already_deleted", volume=volume.name, pool=volume.pool)
