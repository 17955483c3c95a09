"""Reads disks in qcow2 files, as qemu-img does for LXD, and writes empty ones.

Format: docs/interop/qcow2.txt of QEMU. Neither compressed clusters nor snapshots are read.
"""

from __future__ import annotations

import struct

from tests.lxd_http.messages import Refused

_MAGIC = b"QFI\xfb"
_HEADER = struct.Struct(">4sIQIIQIIQQIIQ")
_CLUSTER_BITS, _CLUSTER = 16, 1 << 16
_OFFSET, _COMPRESSED = 0x00FFFFFFFFFFFE00, 1 << 62


def disk_bytes(file: bytes) -> int:
    """The size of the disk."""
    return int(_header(file)[5])


def content_of(file: bytes) -> bytes:
    """What is on the disk, without the zeros at its end."""
    header = _header(file)
    cluster_bits, size, l1_entries, l1_at = header[4], header[5], header[7], header[8]
    cluster = 1 << cluster_bits
    parts: list[bytes] = []
    for l2_at in _table(file, l1_at, l1_entries):
        entries = _table(file, l2_at, cluster // 8) if l2_at else (0,) * (cluster // 8)
        for at in entries:
            if len(parts) * cluster >= size:
                break
            parts.append(file[at : at + cluster].ljust(cluster, b"\0") if at else bytes(cluster))
    return b"".join(parts)[:size].rstrip(b"\0")


def empty_disk(size_bytes: int) -> bytes:
    """A file without one allocated cluster."""
    data = -(-size_bytes // _CLUSTER)
    l1_entries = -(-data // (_CLUSTER // 8))
    header = _HEADER.pack(_MAGIC, 2, 0, 0, _CLUSTER_BITS, size_bytes, 0, l1_entries, _CLUSTER, 2 * _CLUSTER, 1, 0, 0)
    return header.ljust(3 * _CLUSTER, b"\0")


def _header(file: bytes) -> tuple[int, ...]:
    if len(file) < _HEADER.size or not file.startswith(_MAGIC):
        raise Refused(500, "Image is not in qcow2 format")
    return _HEADER.unpack_from(file)


def _table(file: bytes, at: int, entries: int) -> tuple[int, ...]:
    """Offsets in the file; 0 without a cluster."""
    found: tuple[int, ...] = struct.unpack_from(f">{entries}Q", file, at)
    assert not any(one & _COMPRESSED for one in found), "compressed clusters are not read"
    return tuple(one & _OFFSET for one in found)
