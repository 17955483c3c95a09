"""What a discovery changes of the volumes that are named after a mark of ours and that no guest has. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from attrs import field, frozen

from common.discovery import Discovery

VolumeKey = tuple[str, str, str]  # storage pool (the driver's id), project, name


@frozen(kw_only=True)
class VolumeRow:
    """What is kept of such a volume, in the shape of its row."""

    pool_id: str
    project: str
    name: str
    marked_machine: UUID
    size_bytes: int | None = None

    @property
    def key(self) -> VolumeKey:
        return self.pool_id, self.project, self.name


@frozen(kw_only=True)
class KnownVolumes:
    """`left_alone` are machines that an operation acts on, or that changed or went since the discovery began."""

    volumes: Mapping[VolumeKey, VolumeRow] = field(factory=dict)
    left_alone: frozenset[UUID] = frozenset()


NO_VOLUMES = KnownVolumes()


@frozen(kw_only=True)
class VolumeChanges:
    written: tuple[VolumeRow, ...] = ()
    gone: tuple[VolumeKey, ...] = ()


NOTHING_NEW = VolumeChanges()


def news_of_volumes(found: Discovery, known: KnownVolumes, installation_id: UUID) -> VolumeChanges:
    """Of storage pools of which the discovery tells nothing, and of machines that are left alone, nothing is news.

    Volumes of other installations are none of ours, and one that a guest of this discovery has is in use, whatever a
    listing says of it.
    """
    had = (
        {(disk.pool_id, disk.volume) for guest in found.guests for disk in guest.disks} if found.unused_volumes else ()
    )
    seen = {}
    for volume in found.unused_volumes:
        if volume.mark.installation_id == installation_id and (volume.pool_id, volume.name) not in had:
            row = VolumeRow(
                pool_id=volume.pool_id,
                project=volume.project,
                name=volume.name,
                marked_machine=volume.mark.machine_id,
                size_bytes=volume.size_bytes,
            )
            seen[row.key] = row
    told = set(found.volumes_told)
    return VolumeChanges(
        written=tuple(
            row
            for key, row in sorted(seen.items())
            if row.pool_id in told and row.marked_machine not in known.left_alone and known.volumes.get(key) != row
        ),
        gone=tuple(sorted(key for key in known.volumes if key not in seen and key[0] in told)),
    )
