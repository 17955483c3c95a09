"""The mark in the name of a disk: how one bulk listing of a hypervisor shows which guests are ours.

libvirt tells the metadata of a domain only one domain at a time, but its bulk statistics name every disk. So the
volumes of a machine are named after its mark, and a guest is taken for ours when its own id and the names of its
disks agree. Before anything is changed, the driver reads the mark proper from that one guest.
"""

from __future__ import annotations

import re
from uuid import UUID

from common.values import Mark

_IDS = r"ik-(?P<installation>[0-9a-f]{32})-(?P<machine>[0-9a-f]{32})"
_VOLUME = re.compile(_IDS + r"-(?:0|[1-9][0-9]{0,3})", re.ASCII)
_MADE = re.compile(_IDS + r"-(?:0|[1-9][0-9]{0,3}|seed\.iso)", re.ASCII)


def volume_name(mark: Mark, index: int) -> str:
    """The name of the disk `index` (from 0) of a machine: `ik-<installation>-<machine>-<index>`, ids as 32 hex digits.

    At most 73 characters of `a-z0-9-`, which every kind of storage pool takes. ValueError outside 0 to 9999.
    """
    if not 0 <= index <= 9999:
        raise ValueError(f"a machine's disks are numbered 0 to 9999, not {index}")
    return f"ik-{mark.installation_id.hex}-{mark.machine_id.hex}-{index}"


def seed_name(mark: Mark) -> str:
    """The name of the image that tells a machine its addresses: `ik-<installation>-<machine>-seed.iso`. No disk."""
    return f"ik-{mark.installation_id.hex}-{mark.machine_id.hex}-seed.iso"


def mark_of_volume(name: str) -> Mark | None:
    """The mark in a name that `volume_name` made; None for any other text."""
    return _mark(_VOLUME.fullmatch(name))


def mark_of_made(name: str) -> Mark | None:
    """The mark in a name that `volume_name` or `seed_name` made; None for any other text."""
    return _mark(_MADE.fullmatch(name))


def _mark(found: re.Match[str] | None) -> Mark | None:
    if found is None:
        return None
    return Mark(installation_id=UUID(hex=found["installation"]), machine_id=UUID(hex=found["machine"]))
