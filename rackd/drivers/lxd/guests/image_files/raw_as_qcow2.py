"""Wraps a raw disk as a qcow2 file while it is streamed: nothing is stored or converted on the rack. Pure.

Every cluster is allocated, in order, so all tables are known before the first byte of the disk:

    header | refcount table | refcount blocks | L1 table | L2 tables | the disk, filled up to whole clusters

Format: docs/interop/qcow2.txt of QEMU, version 3.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from attrs import frozen

_CLUSTER_BITS = 16
_CLUSTER = 1 << _CLUSTER_BITS
_ENTRIES = _CLUSTER // 8  # of 8 bytes, in a cluster of the L1, L2 and refcount tables
_REFCOUNTS = _CLUSTER // 2  # of 2 bytes, in a refcount block
_REFCOUNT_ORDER = 4  # 16 bits
_HEADER_BYTES = 104
_ONCE = 1 << 63  # flag of a cluster with refcount 1
_SECTOR = 512


@frozen(kw_only=True)
class _Layout:
    """Numbers of clusters."""

    data: int
    l2: int
    l1: int
    refcount_blocks: int
    refcount_table: int

    @property
    def head(self) -> int:
        return 1 + self.refcount_table + self.refcount_blocks + self.l1 + self.l2


def qcow2_head(size_bytes: int) -> Iterator[bytes]:
    """Yields what precedes the content of a disk of `size_bytes`, in parts of at most one cluster."""
    layout = _layout(size_bytes)
    refcount_blocks_at = 1 + layout.refcount_table
    l1_at = refcount_blocks_at + layout.refcount_blocks
    l2_at = l1_at + layout.l1
    yield _filled(
        struct.pack(
            ">4sIQIIQIIQQIIQQQQII",
            b"QFI\xfb", 3, 0, 0, _CLUSTER_BITS, _up(size_bytes, _SECTOR) * _SECTOR, 0, layout.l2,
            l1_at * _CLUSTER, _CLUSTER, layout.refcount_table, 0, 0, 0, 0, 0, _REFCOUNT_ORDER, _HEADER_BYTES,
        )
    )  # fmt: skip
    yield from _table(range(refcount_blocks_at, l1_at), flag=0)
    total = layout.head + layout.data
    for first in range(0, layout.refcount_blocks * _REFCOUNTS, _REFCOUNTS):
        yield _filled(b"\x00\x01" * min(_REFCOUNTS, total - first))
    yield from _table(range(l2_at, layout.head), flag=_ONCE)
    yield from _table(range(layout.head, total), flag=_ONCE)


def qcow2_tail(size_bytes: int) -> bytes:
    """Returns the zeros that follow the content."""
    return bytes(-size_bytes % _CLUSTER)


def _layout(size_bytes: int) -> _Layout:
    data = _up(size_bytes, _CLUSTER)
    l2 = _up(data, _ENTRIES)
    l1 = _up(l2, _ENTRIES)
    blocks = table = 1
    while True:  # the blocks count themselves
        needed = _up(1 + table + blocks + l1 + l2 + data, _REFCOUNTS)
        if needed <= blocks and _up(blocks, _ENTRIES) <= table:
            return _Layout(data=data, l2=l2, l1=l1, refcount_blocks=blocks, refcount_table=table)
        blocks, table = max(blocks, needed), _up(max(blocks, needed), _ENTRIES)


def _table(clusters: range, *, flag: int) -> Iterator[bytes]:
    for start in range(0, len(clusters), _ENTRIES):
        part = clusters[start : start + _ENTRIES]
        yield _filled(struct.pack(f">{len(part)}Q", *(number * _CLUSTER | flag for number in part)))


def _filled(content: bytes) -> bytes:
    return content.ljust(_CLUSTER, b"\0")


def _up(amount: int, unit: int) -> int:
    return -(-amount // unit)
