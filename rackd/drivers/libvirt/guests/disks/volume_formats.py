"""Tells formats of volumes that an administrator made. Those that Innkeeper named are raw, always.

libvirt tells a format by the beginning of the content, which a guest can write. So a volume counts as an image only if
the image names no other file of the host, and if something beside its content says so: the domain, or its length. A
guest can write the size of its own disk into a header, but the file of a raw disk is as long as the disk.
"""

from __future__ import annotations

import struct

from common.disks.volume_names import marker_of_volume
from common.errors import Unsupported, WrongState
from common.guests.guest_spec import DiskSpec
from rackd.drivers.libvirt.connection.storage_objects import Volume

RAW, QCOW2 = "raw", "qcow2"

_HEADER = struct.Struct(">4sIQIIQIIQQIIQ")  # of QEMU's docs/interop/qcow2.txt; version 3 has the features next
_FEATURES = struct.Struct(">Q")
_EXTERNAL_DATA = 1 << 2
_SECTOR_BYTES = 512  # QEMU adds zeros to a raw file that ends within one


def format_to_attach(volume: Volume, disk: DiskSpec) -> str:
    """Returns the format in which QEMU opens the volume of a disk that a guest had before.

    Raises WrongState for an image that is not known to be one, or of a format other than qcow2; Unsupported for one
    that depends on another file.
    """
    found = volume.format()
    if marker_of_volume(volume.name) is not None or found in {"", RAW}:
        return RAW
    if found != QCOW2:
        raise WrongState(
            f"The volume {volume.name} is an image of the format {found}, of which Innkeeper attaches none but raw and "
            "qcow2. Attach it on the host: virsh attach-disk.",
            volume=volume.name,
        )
    check_independent(volume)
    size_bytes = volume.capacity_bytes()
    length_bytes = volume.length_bytes()
    if size_bytes != disk.size_bytes or _in_sectors(length_bytes) == _in_sectors(disk.size_bytes):
        raise WrongState(
            f"The volume {volume.name} begins like a qcow2 image of {size_bytes} bytes, is {length_bytes} bytes long, "
            f"and its guest had a disk of {disk.size_bytes}: whether that is raw, only who made it knows. Attach it on "
            "the host: virsh attach-disk --subdriver raw or qcow2.",
            volume=volume.name,
        )
    return QCOW2


def _in_sectors(size_bytes: int) -> int:
    return -(-size_bytes // _SECTOR_BYTES)


def check_independent(volume: Volume, *, to_copy: bool = False) -> None:
    """Raises Unsupported for a qcow2 image that depends on another file or is encrypted.

    With `to_copy` also for one that has snapshots.
    """
    head = volume.head(_HEADER.size + _FEATURES.size)
    if len(head) < _HEADER.size + _FEATURES.size:
        raise Unsupported(f"The image {volume.name} is cut off.", volume=volume.name)
    _, version, backing, _, _, _, encryption, _, _, _, _, snapshots, _ = _HEADER.unpack_from(head)
    features = _FEATURES.unpack_from(head, _HEADER.size)[0] if version > 2 else 0
    obstacles = {
        "is based on another image. Merge them on the host: virsh blockpull": backing,
        "has its data in another file. Make one image of both on the host: qemu-img convert -O qcow2": (
            features & _EXTERNAL_DATA
        ),
        "is encrypted. Convert it on the host: qemu-img convert -O qcow2": encryption,
        "has snapshots, which a copy would not have. Delete them on the host first: virsh snapshot-delete": (
            snapshots if to_copy else 0
        ),
    }
    found = next((text for text, is_so in obstacles.items() if is_so), None)
    if found is not None:
        raise Unsupported(f"The image {volume.name} {found}.", volume=volume.name)
