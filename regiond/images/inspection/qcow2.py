"""Reads the header of a qcow2 image from untrusted bytes. Pure.

Refuses what would make a hypervisor open another file, such as a backing file, before any tool opens the image. The
layout is QEMU's docs/interop/qcow2.txt: big-endian fields, then extensions of a type, a length and padded data.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from attrs import frozen

from regiond.images.model import BadImage
from regiond.requests.validation_messages import shown

MAGIC = b"QFI\xfb"
HEAD_BYTES = (
    2 * 2**20
)  # the input of `parse_header`: the first cluster, whose size is at most this, has the whole header
MAX_VIRTUAL_BYTES = 16 * 2**40

_COMMON = struct.Struct(">4sIQIIQIIQQIIQ")  # 72 bytes, all of version 2
_FEATURES = struct.Struct(">QQQII")  # from byte 72, version 3
_EXTENSION = struct.Struct(">II")
_MAX_L1_BYTES = 32 * 2**20  # the limit of QEMU
_MAX_REFCOUNT_TABLE_BYTES = 8 * 2**20
_MAX_SNAPSHOTS = 65536
_MAX_REFCOUNT_ORDER = 6
_MAX_NAME_BYTES = 1023
_DIRTY, _CORRUPT, _EXTERNAL_DATA, _COMPRESSION_TYPE, _EXTENDED_L2 = (1 << bit for bit in range(5))
_UNDERSTOOD = _COMPRESSION_TYPE | _EXTENDED_L2
_EXTERNAL_DATA_NAME = 0x44415441
_ENCRYPTION_HEADER = 0x0537BE77
_END = 0
_ZSTD = 1  # the only type of compression that the header states; without a statement it is zlib
_COMPRESSION_TYPE_AT = 104


@frozen(kw_only=True)
class Qcow2Header:
    version: int
    virtual_size_bytes: int
    cluster_bytes: int


@frozen(kw_only=True)
class _Fields:
    """The header as it is in the file. Offsets and sizes are in bytes, lengths of tables in entries."""

    version: int
    backing_offset: int
    backing_length: int
    cluster_bits: int
    virtual_bytes: int
    encryption: int
    l1_entries: int
    l1_offset: int
    refcount_offset: int
    refcount_clusters: int
    snapshots: int
    snapshots_offset: int
    incompatible: int = 0
    refcount_order: int = 4
    header_bytes: int = _COMMON.size

    @property
    def cluster_bytes(self) -> int:
        return 1 << self.cluster_bits

    @property
    def needed_l1_entries(self) -> int:
        """The number of L2 tables, each of one cluster, that the virtual size needs."""
        entry_bytes = 16 if self.incompatible & _EXTENDED_L2 else 8
        covered = self.cluster_bytes * (self.cluster_bytes // entry_bytes)
        return -(-self.virtual_bytes // covered)


def parse_header(head: bytes, file_bytes: int) -> Qcow2Header:
    """Returns the header. `head` is the first HEAD_BYTES of a file of `file_bytes`, or all of it. Raises BadImage."""
    fields = _read(head)
    _check_references(fields, head)
    _check_features(fields, head)
    _check_sizes(fields, file_bytes)
    for kind in _extensions(fields, head):
        if kind == _EXTERNAL_DATA_NAME:
            raise BadImage("The qcow2 image names an external data file; its data must be in the image itself.")
        if kind == _ENCRYPTION_HEADER:
            raise BadImage("The qcow2 image is encrypted.")
    return Qcow2Header(
        version=fields.version, virtual_size_bytes=fields.virtual_bytes, cluster_bytes=fields.cluster_bytes
    )


def _read(head: bytes) -> _Fields:
    if len(head) < _COMMON.size:
        raise BadImage(f"The qcow2 image is cut off: its header has {len(head)} of {_COMMON.size} bytes.")
    magic, version, *rest = _COMMON.unpack_from(head)
    if magic != MAGIC:
        raise BadImage("The file is no qcow2 image.")
    if version not in {2, 3}:
        raise BadImage(f"The qcow2 image has version {version}; supported are 2 and 3.")
    names = [
        "backing_offset", "backing_length", "cluster_bits", "virtual_bytes", "encryption", "l1_entries", "l1_offset",
        "refcount_offset", "refcount_clusters", "snapshots", "snapshots_offset",
    ]  # fmt: skip
    found = dict(zip(names, rest, strict=True))
    if version == 3:
        if len(head) < _COMMON.size + _FEATURES.size:
            raise BadImage("The qcow2 image is cut off within its header.")
        incompatible, _, _, order, length = _FEATURES.unpack_from(head, _COMMON.size)
        found |= {"incompatible": incompatible, "refcount_order": order, "header_bytes": length}
    if not 9 <= found["cluster_bits"] <= 21:
        raise BadImage(f"The qcow2 image has clusters of 2^{found['cluster_bits']} bytes; possible are 2^9 to 2^21.")
    return _Fields(version=version, **found)


def _check_references(fields: _Fields, head: bytes) -> None:
    if fields.backing_offset or fields.backing_length:
        start, length = fields.backing_offset, min(fields.backing_length, _MAX_NAME_BYTES)
        name = head[start : start + length].decode("utf-8", "replace")
        named = f" {shown(name)}" if name else ""
        raise BadImage(
            f"The qcow2 image depends on a backing file{named}. Make one that does not: qemu-img convert -O qcow2 "
            "IMAGE NEW"
        )
    if fields.encryption:
        raise BadImage("The qcow2 image is encrypted.")
    if fields.incompatible & _EXTERNAL_DATA:
        raise BadImage("The qcow2 image has its data in an external file; they must be in the image itself.")


def _check_features(fields: _Fields, head: bytes) -> None:
    if fields.incompatible & _CORRUPT:
        raise BadImage("The qcow2 image is marked as corrupt.")
    if fields.incompatible & _DIRTY:
        raise BadImage("The qcow2 image was not closed properly: qemu-img check -r all IMAGE repairs it.")
    unknown = fields.incompatible & ~_UNDERSTOOD
    if unknown:
        raise BadImage(f"The qcow2 image has unknown features (bits {unknown:#x}).")
    if fields.refcount_order > _MAX_REFCOUNT_ORDER:
        raise BadImage(f"The qcow2 image has reference counts of 2^{fields.refcount_order} bits; the most are 2^6.")
    least = _COMMON.size + (_FEATURES.size if fields.version == 3 else 0)
    if not least <= fields.header_bytes <= fields.cluster_bytes or fields.header_bytes % 8:
        raise BadImage(f"The qcow2 image has a header of {fields.header_bytes} bytes, which is not possible.")
    if fields.incompatible & _COMPRESSION_TYPE:
        stated = head[_COMPRESSION_TYPE_AT : min(fields.header_bytes, _COMPRESSION_TYPE_AT + 1)]
        if stated != bytes([_ZSTD]):
            raise BadImage("The qcow2 image has an unknown type of compression.")


def _check_sizes(fields: _Fields, file_bytes: int) -> None:
    if not 0 < fields.virtual_bytes <= MAX_VIRTUAL_BYTES:
        raise BadImage(
            f"The disk of the qcow2 image has {fields.virtual_bytes} bytes; possible are 1 to {MAX_VIRTUAL_BYTES}."
        )
    if not fields.needed_l1_entries <= fields.l1_entries <= _MAX_L1_BYTES // 8:
        raise BadImage(
            f"The qcow2 image has a table of {fields.l1_entries} entries; its size needs {fields.needed_l1_entries}."
        )
    refcount_bytes = fields.refcount_clusters * fields.cluster_bytes
    if not 0 < refcount_bytes <= _MAX_REFCOUNT_TABLE_BYTES:
        raise BadImage(f"The qcow2 image has a table of reference counts of {refcount_bytes} bytes.")
    if fields.snapshots > _MAX_SNAPSHOTS:
        raise BadImage(f"The qcow2 image has {fields.snapshots} snapshots; the most are {_MAX_SNAPSHOTS}.")
    tables = [("L1 table", fields.l1_offset, fields.l1_entries * 8), ("refcount table", fields.refcount_offset, 8)]
    if fields.snapshots:
        tables.append(("table of snapshots", fields.snapshots_offset, fields.snapshots * 40))
    for name, offset, length in tables:
        if offset == 0 or offset % fields.cluster_bytes:
            raise BadImage(f"The {name} of the qcow2 image is at byte {offset}, which is not possible.")
        if offset + length > file_bytes:
            raise BadImage(
                f"The qcow2 image is cut off: its {name} ends at byte {offset + length}, the file at {file_bytes}."
            )


def _extensions(fields: _Fields, head: bytes) -> Iterator[int]:
    """Yields the types of the header's extensions that QEMU reads: up to the end mark or the end of the cluster.

    Each takes at least 8 bytes, so there are at most HEAD_BYTES / 8. Raises BadImage if one is not in `head`.
    """
    end = fields.cluster_bytes
    position = fields.header_bytes
    while position < end:
        if position + _EXTENSION.size > min(end, len(head)):
            break
        kind, length = _EXTENSION.unpack_from(head, position)
        if kind == _END:
            return
        yield kind
        position += _EXTENSION.size + -(-length // 8) * 8
    if position != end:
        raise BadImage("The extensions of the qcow2 image's header do not fit into it.")
