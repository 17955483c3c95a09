"""The custom volumes of one machine: made in storage pools, found again, removed. Only those named after its mark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import structlog
from attrs import evolve, frozen

from common.discovery import VolumeRef
from common.errors import InnkeeperError, NotFound, OutOfCapacity
from common.marks import mark_of_made, mark_of_volume
from common.values import DiskSpec, GuestSpec, Mark
from rackd.drivers.lxd import definition
from rackd.drivers.lxd.client import Client, Conflict, Json, path
from rackd.drivers.lxd.guests import Volume, volume_of
from rackd.drivers.lxd.survey import Place
from rackd.drivers.refusals import refuse_used

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


@frozen(kw_only=True)
class Made:
    """A volume that is there, and which member of a cluster has it (empty outside)."""

    pool: str
    name: str
    location: str = ""


def check_room(client: Client, spec: GuestSpec, place: Place) -> None:
    """Raises NotFound for a pool that is not there, OutOfCapacity when the disks do not fit into one."""
    known = [str(url).rpartition("/")[2] for url in client.get("storage-pools")]
    asked: dict[str, int] = {}
    for disk in spec.disks:
        if disk.pool_id not in known:
            raise NotFound(
                f"LXD at {client.address.normalised} has no storage pool '{disk.pool_id}'; it has {', '.join(known)}.",
                pool_id=disk.pool_id,
            )
        asked[disk.pool_id] = asked.get(disk.pool_id, 0) + disk.size_bytes
    for pool, asked_bytes in asked.items():
        space = client.get(path("storage-pools", pool, "resources"), target=place.member or "")["space"]
        left = max(0, int(space.get("total") or 0) - int(space.get("used") or 0))
        largest = max(disk.size_bytes for disk in spec.disks if disk.pool_id == pool)
        if asked_bytes > left:
            told = largest if largest > left else asked_bytes
            raise OutOfCapacity(
                f"The storage pool {pool} has {left} bytes left; {told} are needed.",
                pool_id=pool,
                asked_bytes=told,
                left_bytes=left,
            )


def make(client: Client, disks: Iterable[DiskSpec], place: Place, made: list[Made]) -> None:
    """The volumes, each there now. What this call makes is added to `made` at once, so that it can be undone."""
    for disk in disks:
        there = _there(client, disk.pool_id, place)
        if _usable(client, disk, there.get(disk.volume, ()), place):
            continue
        try:
            client.post(
                path("storage-pools", disk.pool_id, "volumes", "custom"),
                definition.volume_of(disk),
                project=place.project,
                target=place.member or "",
            )
        except Conflict:
            log.info("volume_was_there", volume=disk.volume, pool=disk.pool_id)  # another rack was faster
            continue
        made.append(Made(pool=disk.pool_id, name=disk.volume, location=place.member or ""))


def _usable(client: Client, disk: DiskSpec, there: Sequence[Volume], place: Place) -> bool:
    """Whether it is there and has a guest. One without was never given to any: it may be half made, so it goes."""
    for volume in there:
        elsewhere = place.member is not None and volume.location != place.member
        if volume.attached and volume.size_bytes == disk.size_bytes and not elsewhere:
            return True
        log.warning("half_made_volume_removed", volume=volume.name, pool=volume.pool, member=volume.location)
        _delete(client, Made(pool=volume.pool, name=volume.name, location=volume.location), place)
    return False


def _there(client: Client, pool: str, place: Place) -> dict[str, list[Volume]]:
    """The custom volumes of a pool by name: members of a cluster may each have one."""
    where = path("storage-pools", pool, "volumes", "custom")
    found: dict[str, list[Volume]] = {}
    told: list[Json] = client.get(where, recursion="1", project=place.project)
    for one in told:
        if mark_of_volume(str(one["name"])) is not None:
            volume = volume_of(one, pool)
            found.setdefault(volume.name, []).append(volume)
    return found


def undo(client: Client, made: Iterable[Made], place: Place) -> None:
    """As far as the host lets us: what stays is logged, and found again by its name."""
    for volume in made:
        try:
            _delete(client, volume, place)
        except InnkeeperError as error:
            log.warning("volume_left_behind", volume=volume.name, pool=volume.pool, reason=str(error))


def remove(client: Client, mark: Mark, volumes: Iterable[tuple[str, str]], place: Place) -> None:
    """Remove those of `volumes` (pool, name) that carry `mark`, unless an instance still uses them."""
    wanted: dict[str, set[str]] = {}
    for pool, name in volumes:
        if mark_of_volume(name) == mark:
            wanted.setdefault(pool, set()).add(name)
    for pool, names in sorted(wanted.items()):
        try:
            there = _there(client, pool, place)
        except NotFound as error:
            log.info("storage_pool_was_gone", pool=pool, reason=str(error))
            continue
        for volume in (one for name in sorted(names) for one in there.get(name, ())):
            if volume.attached:
                log.warning("shared_volume_left", volume=volume.name, pool=pool)
            else:
                _delete(client, Made(pool=pool, name=volume.name, location=volume.location), place)


def remove_unused(client: Client, mark: Mark, volumes: Iterable[VolumeRef], place: Place, *, home: str | None) -> None:
    """Remove those of `volumes` that are named after `mark` and are on this member. WrongState for those in use.

    `home` is the project that the volumes of the place's own project are in: what is there is reached through the
    place's own, since a restricted certificate may not be let into the other.
    """
    used: dict[tuple[str, str], list[str]] = {}
    for wanted in volumes:
        if mark_of_made(wanted.name) != mark:
            continue
        through = place if wanted.project in {"", home} else evolve(place, project=wanted.project)
        try:
            there = _there(client, wanted.pool_id, through).get(wanted.name, ())
        except NotFound as error:
            log.info("volume_was_gone", volume=wanted.name, pool=wanted.pool_id, reason=str(error))
            continue
        for volume in there:
            if place.member is not None and volume.location not in {place.member, "", "none"}:
                continue
            if volume.attached:
                used[wanted.pool_id, wanted.name] = ["an instance"]
                continue
            log.info("unused_volume_removed", volume=volume.name, pool=volume.pool, project=through.project)
            _delete(client, Made(pool=volume.pool, name=volume.name, location=volume.location), through)
    refuse_used(used)


def _delete(client: Client, volume: Made, place: Place) -> None:
    target = "" if volume.location in {"", "none"} else volume.location
    try:
        client.delete(
            path("storage-pools", volume.pool, "volumes", "custom", volume.name), project=place.project, target=target
        )
    except NotFound:
        log.info("volume_was_gone", volume=volume.name, pool=volume.pool)
