"""Finds orphaned volumes that appeared or disappeared. Pure.

An orphaned volume is named after our marker, and no guest uses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from attrs import field, frozen

from common.hosts.discovery import Discovery

VolumeKey = tuple[str, str, str]  # (the driver's id of the storage pool, project, name)


@frozen(kw_only=True)
class VolumeRecord:
    """An orphaned volume in the shape of its row."""

    pool_id: str
    project: str
    name: str
    marker_machine: UUID
    size_bytes: int | None = None

    @property
    def key(self) -> VolumeKey:
        return self.pool_id, self.project, self.name


@frozen(kw_only=True)
class VolumeSnapshot:
    """The recorded volumes. `unsettled`: machines with an open operation or changed or deleted since the run began."""

    volumes: Mapping[VolumeKey, VolumeRecord] = field(factory=dict)
    unsettled: frozenset[UUID] = frozenset()


NO_VOLUMES = VolumeSnapshot()


@frozen(kw_only=True)
class VolumeChanges:
    written: tuple[VolumeRecord, ...] = ()
    deleted: tuple[VolumeKey, ...] = ()


NO_VOLUME_CHANGES = VolumeChanges()


def volume_changes(discovery: Discovery, snapshot: VolumeSnapshot, installation_id: UUID) -> VolumeChanges:
    """Returns the rows to write and to delete.

    Ignores storage pools whose volumes the run could not list, unsettled machines, volumes of other installations, and
    volumes that a guest of the same run uses, even if the listing shows it as unused.
    """
    used = (
        {(disk.pool_id, disk.volume) for guest in discovery.guests for disk in guest.disks}
        if discovery.orphaned_volumes
        else set()
    )
    found = {}
    for volume in discovery.orphaned_volumes:
        if volume.marker.installation_id == installation_id and (volume.pool_id, volume.name) not in used:
            record = VolumeRecord(
                pool_id=volume.pool_id,
                project=volume.project,
                name=volume.name,
                marker_machine=volume.marker.machine_id,
                size_bytes=volume.size_bytes,
            )
            found[record.key] = record
    listed = set(discovery.inspected_pools)
    return VolumeChanges(
        written=tuple(
            record
            for key, record in sorted(found.items())
            if record.pool_id in listed
            and record.marker_machine not in snapshot.unsettled
            and snapshot.volumes.get(key) != record
        ),
        deleted=tuple(sorted(key for key in snapshot.volumes if key not in found and key[0] in listed)),
    )
