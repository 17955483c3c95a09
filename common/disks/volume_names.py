"""Names volumes after the ownership marker of their machine.

libvirt returns the metadata of one domain at a time, but its bulk statistics name every disk. A bulk listing therefore
recognizes a machine's guest by its id and the names of its disks. Before it changes a guest, the driver reads the
marker in the metadata.
"""

from __future__ import annotations

import base64
import re
from uuid import UUID

from common.values import OwnershipMarker

_IDS = r"ik-(?P<installation>[0-9a-f]{32})-(?P<machine>[0-9a-f]{32})"
_SHORT_IDS = r"ik-(?P<short>[0-9A-Za-z_-]{22})-(?P<of_machine>[0-9a-f]{32})"
_INDEX = r"-(?P<index>0|[1-9][0-9]{0,3})"
_VOLUME = re.compile(_IDS + _INDEX, re.ASCII)
_SHORT_VOLUME = re.compile(_SHORT_IDS + _INDEX, re.ASCII)
_ARTIFACT = re.compile(_IDS + r"-(?:0|[1-9][0-9]{0,3}|seed\.iso|console\.log(?:\.[0-9])?)", re.ASCII)
_KEPT_LOGS = 3  # by virtlogd, when the log of a running guest exceeds 2 MiB


def volume_name(marker: OwnershipMarker, index: int) -> str:
    """Returns `ik-<installation>-<machine>-<index>` for the disk `index` (from 0), with ids as 32 hex digits.

    At most 73 characters of `a-z0-9-`, valid in every kind of storage pool. Raises ValueError outside 0 to 9999.
    """
    _check_index(index)
    return f"ik-{marker.installation_id.hex}-{marker.machine_id.hex}-{index}"


def short_volume_name(marker: OwnershipMarker, index: int) -> str:
    """Returns the same for hypervisors that accept at most 64 characters: the installation is in URL-safe base64.

    At most 63 characters of `A-Za-z0-9_-`. Raises ValueError outside 0 to 9999.
    """
    _check_index(index)
    return f"ik-{_shortened(marker.installation_id)}-{marker.machine_id.hex}-{index}"


def root_volume_names(marker: OwnershipMarker) -> tuple[str, str]:
    """Returns the names that the first disk of a machine can have."""
    return volume_name(marker, 0), short_volume_name(marker, 0)


def _check_index(index: int) -> None:
    if not 0 <= index <= 9999:
        raise ValueError(f"the index of a disk is 0 to 9999, not {index}")


def _shortened(uuid: UUID) -> str:
    return base64.urlsafe_b64encode(uuid.bytes).rstrip(b"=").decode()


def seed_name(marker: OwnershipMarker) -> str:
    """Returns the name of the machine's cloud-init image: `ik-<installation>-<machine>-seed.iso`."""
    return f"ik-{marker.installation_id.hex}-{marker.machine_id.hex}-seed.iso"


def serial_log_name(marker: OwnershipMarker) -> str:
    """Returns the name of the file with the machine's serial output: `ik-<installation>-<machine>-console.log`."""
    return f"ik-{marker.installation_id.hex}-{marker.machine_id.hex}-console.log"


def with_kept_logs(serial_log: str) -> tuple[str, ...]:
    """Returns the name and those of the older parts that virtlogd keeps beside the file."""
    return (serial_log, *(f"{serial_log}.{number}" for number in range(_KEPT_LOGS)))


def marker_of_volume(name: str) -> OwnershipMarker | None:
    """Returns the marker in a name that `volume_name` or `short_volume_name` returned, None for any other text."""
    return _marker(_VOLUME.fullmatch(name)) or _marker_of_short(name)


def marker_of_ours(name: str, installation_id: UUID) -> OwnershipMarker | None:
    """Returns the marker in the name of a volume of this installation, None for any other text.

    A disk can be named after a machine of another installation, which had its host before: it is a foreign one, whose
    name says nothing, also once a person has adopted it.
    """
    found = marker_of_volume(name)
    return found if found is not None and found.installation_id == installation_id else None


def index_of_volume(name: str) -> int | None:
    """Returns the index in the name of a disk, None for any other text."""
    return None if marker_of_volume(name) is None else int(name.rpartition("-")[2])


def marker_of_artifact(name: str) -> OwnershipMarker | None:
    """Returns the marker in a name that one of the functions above returned, None for any other text."""
    return _marker(_ARTIFACT.fullmatch(name)) or _marker_of_short(name)


def _marker(found: re.Match[str] | None) -> OwnershipMarker | None:
    if found is None:
        return None
    return OwnershipMarker(installation_id=UUID(hex=found["installation"]), machine_id=UUID(hex=found["machine"]))


def _marker_of_short(name: str) -> OwnershipMarker | None:
    """Only of a name that `short_volume_name` returns: base64 of 16 bytes has other ends that mean the same."""
    found = _SHORT_VOLUME.fullmatch(name)
    if found is None:
        return None
    installation = UUID(bytes=base64.urlsafe_b64decode(f"{found['short']}=="))
    marker = OwnershipMarker(installation_id=installation, machine_id=UUID(hex=found["of_machine"]))
    return marker if short_volume_name(marker, int(found["index"])) == name else None
