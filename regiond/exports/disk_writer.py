"""Writes a disk as a qcow2 image while its parts arrive. Clusters of zeros take no space.

The same content always makes the same bytes. Data and the tables of clusters (L2) follow in the order of the disk; the
table of these tables (L1) and the reference counts, which are all 1, come last, and the header is written over the
first cluster then. Format: docs/interop/qcow2.txt of QEMU, version 3.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from common.disks.disk_content import DiskPart, is_zero

CLUSTER_BITS = 16
CLUSTER = 1 << CLUSTER_BITS
ENTRIES = CLUSTER // 8  # of 8 bytes, in a cluster of the L1, L2 and refcount tables
HEADER = struct.Struct(">4sIQIIQIIQQIIQQQQII")  # version 3, 104 bytes
MAGIC = b"QFI\xfb"
ONCE = 1 << 63  # flag of a cluster with refcount 1
_REFCOUNTS = CLUSTER // 2  # of 2 bytes, in a refcount block
_REFCOUNT_ORDER = 4  # 16 bits
_SECTOR = 512


class DiskWriter:
    """Writes to `file` from its position on; nothing else may move that until `finish`. Methods block."""

    def __init__(self, file: BinaryIO, size_bytes: int) -> None:
        self._file = file
        self._size_bytes = size_bytes
        self._start = file.tell()
        self._clusters = 1  # written so far; the first one is for the header
        self._l1 = [0] * _up(_up(size_bytes, CLUSTER), ENTRIES)
        self._l2: dict[int, int] = {}  # of the present table
        self._table = 0
        self._number = 0  # the present cluster of the disk
        self._pending = bytearray()
        file.write(bytes(CLUSTER))

    @property
    def position(self) -> int:
        """The place where the next part of the disk begins."""
        return self._number * CLUSTER + len(self._pending)

    def add(self, part: DiskPart) -> None:
        """Raises ValueError for a part that does not begin at `position`, or ends after the disk."""
        if part.start != self.position or part.offset < part.start or part.end > self._size_bytes:
            raise ValueError(f"a part from {part.start} to {part.end}, expected from {self.position}")
        self._skip(part.offset - part.start)
        view = memoryview(part.data)
        while view:
            taken = min(len(view), CLUSTER - len(self._pending))
            self._pending += view[:taken]
            view = view[taken:]
            if len(self._pending) == CLUSTER:
                self._end_cluster()

    def finish(self) -> int:
        """Returns the size of the image in bytes. The position of the file is behind it."""
        self._skip(self._size_bytes - self.position)
        if self._pending:
            self._end_cluster()
        self._end_table()
        l1_at = self._clusters
        self._write_table(self._l1)
        blocks, table = _refcounts(self._clusters)
        refcounts_at, total = self._clusters, self._clusters + blocks + table
        for first in range(0, blocks * _REFCOUNTS, _REFCOUNTS):
            self._write((b"\x00\x01" * max(0, min(_REFCOUNTS, total - first))).ljust(CLUSTER, b"\0"))
        self._write_table([number * CLUSTER for number in range(refcounts_at, refcounts_at + blocks)])
        self._write_header(l1_at, refcounts_at + blocks, table)
        return total * CLUSTER

    def _skip(self, count: int) -> None:
        """Adds zeros; whole clusters of them cost nothing."""
        if self._pending:
            taken = min(count, CLUSTER - len(self._pending))
            self._pending += bytes(taken)
            count -= taken
            if len(self._pending) == CLUSTER:
                self._end_cluster()
        if count:
            self._number += count // CLUSTER
            self._pending += bytes(count % CLUSTER)

    def _end_cluster(self) -> None:
        if not is_zero(self._pending):
            if self._number // ENTRIES != self._table:
                self._end_table()
                self._table = self._number // ENTRIES
            self._l2[self._number % ENTRIES] = self._clusters * CLUSTER | ONCE
            self._write(bytes(self._pending).ljust(CLUSTER, b"\0"))
        self._pending.clear()
        self._number += 1

    def _end_table(self) -> None:
        if self._l2:
            self._l1[self._table] = self._clusters * CLUSTER | ONCE
            self._write_table([self._l2.get(index, 0) for index in range(ENTRIES)])
            self._l2.clear()

    def _write_table(self, entries: list[int]) -> None:
        for part in _tables(entries):
            self._write(part)

    def _write(self, cluster: bytes) -> None:
        self._file.write(cluster)
        self._clusters += 1

    def _write_header(self, l1_at: int, refcount_table_at: int, refcount_clusters: int) -> None:
        end = self._file.tell()
        self._file.seek(self._start)
        self._file.write(
            HEADER.pack(
                MAGIC, 3, 0, 0, CLUSTER_BITS, _up(self._size_bytes, _SECTOR) * _SECTOR, 0, len(self._l1),
                l1_at * CLUSTER, refcount_table_at * CLUSTER, refcount_clusters, 0, 0, 0, 0, 0, _REFCOUNT_ORDER,
                HEADER.size,
            )
        )  # fmt: skip
        self._file.seek(end)


def _refcounts(clusters: int) -> tuple[int, int]:
    """Returns the clusters of reference counts, and of the table of these, which count themselves too."""
    blocks = table = 1
    while True:
        needed = _up(clusters + blocks + table, _REFCOUNTS)
        if needed <= blocks and _up(blocks, ENTRIES) <= table:
            return blocks, table
        blocks = max(blocks, needed)
        table = _up(blocks, ENTRIES)


def _tables(entries: list[int]) -> Iterator[bytes]:
    for start in range(0, len(entries), ENTRIES):
        part = entries[start : start + ENTRIES]
        yield struct.pack(f">{len(part)}Q", *part).ljust(CLUSTER, b"\0")


def _up(amount: int, unit: int) -> int:
    return -(-amount // unit)
