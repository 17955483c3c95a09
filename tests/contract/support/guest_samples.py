"""Disks, NICs and addresses for the guests of contract tests."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, BinaryIO
from uuid import UUID, uuid4

from attrs import evolve, frozen

from common.disks.volume_names import volume_name
from common.guests.deployment_spec import ImageRef
from common.guests.guest_spec import DiskSpec, GuestSpec, NicAddress, NicSpec
from common.values import NicKind, OwnershipMarker

MIB = 1024 * 1024
DISK_BYTES = 64 * MIB
_ZEROS = bytes(MIB)


def nic(number: int, kind: NicKind, source: str = "", **fields: Any) -> NicSpec:
    return NicSpec(name=f"eth{number}", mac_address=f"52:54:00:00:00:0{number + 1}", kind=kind, source=source, **fields)


def write_parts(file: BinaryIO, size_bytes: int) -> None:
    """Writes random content at the beginning, in the middle and at the end of a disk; the rest stays as it is."""
    for offset in (0, size_bytes // 2, size_bytes - MIB):
        file.seek(offset)
        file.write(os.urandom(MIB))


def sha256_of(size_bytes: int, parts: Iterable[tuple[int, bytes]]) -> str:
    """Returns the SHA-256 of a disk that holds these parts, by offset, and zeros."""
    digest, end = hashlib.sha256(), 0
    for offset, data in sorted(parts):
        assert offset >= end, "no part overlaps another"
        _add_zeros(digest, offset - end)
        digest.update(data)
        end = offset + len(data)
    _add_zeros(digest, size_bytes - end)
    return digest.hexdigest()


def _add_zeros(digest: Any, count: int) -> None:
    """One buffer serves for all: to fill the memory of a disk with zeros takes longer than their hash."""
    for _ in range(count // MIB):
        digest.update(_ZEROS)
    digest.update(_ZEROS[: count % MIB])


def address(text: str) -> NicAddress:
    return NicAddress(address=text, prefix_length=24)


def new_marker(installation_id: UUID) -> OwnershipMarker:
    return OwnershipMarker(installation_id=installation_id, machine_id=uuid4())


def small_guest(
    name: str,
    marker: OwnershipMarker,
    pools: Sequence[str] = ("default",),
    *,
    size_bytes: int = DISK_BYTES,
    serial: Callable[[OwnershipMarker, int], str] | None = None,
    volume: Callable[[OwnershipMarker, int], str] = volume_name,
    **fields: Any,
) -> GuestSpec:
    """One core and 128 MiB, with a disk in each of `pools`."""
    disks = tuple(
        DiskSpec(
            volume=volume(marker, index),
            pool_id=pool,
            size_bytes=size_bytes,
            serial=(serial or free_serial)(marker, index),
        )
        for index, pool in enumerate(pools)
    )
    small = GuestSpec(name=name, marker=marker, architecture="amd64", cores=1, memory_mib=128, disks=disks)
    return evolve(small, **fields)


def volumes_of(spec: GuestSpec) -> tuple[tuple[str, str], ...]:
    """Returns the (pool_id, volume) of its disks."""
    return tuple((disk.pool_id, disk.volume) for disk in spec.disks)


def free_serial(marker: OwnershipMarker, index: int) -> str:
    """Returns a unique serial of up to 20 characters."""
    return f"{marker.machine_id.hex[:17]}-{index}"


@frozen
class OwnImage:
    """An image that a host has itself. `content` is what `root_disk_holds` recognizes."""

    alias: str
    content: ImageRef
