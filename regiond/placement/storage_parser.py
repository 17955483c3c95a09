"""Parses the storage constraint `[label:]size[(tag,…)],…` with sizes in GB of 10^9 bytes.

A tag `pool:NAME` demands the storage pool NAME.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

from common.errors import InvalidRequest
from common.units import BYTES_PER_GB
from regiond.placement.requirements import DiskRequirement

DEFAULT_STORAGE = "root:8(local)"
MAX_DISKS = 26  # vda … vdz
MAX_DISK_BYTES = 2**60
MAX_TEXT = 16384
_POOL = "pool:"

_DISK = re.compile(r"(?:(?P<label>[A-Za-z0-9]+):)?(?P<size>[0-9.]+)(?:\((?P<tags>[^(),]+(?:,[^(),]+)*)\))?")


def parse_storage(text: str, *, in_order: bool = False) -> tuple[DiskRequirement, ...]:
    """Returns the root disk, then the others, those with more tags first (as in MAAS). Empty text means the default.

    With `in_order`, the others are as given.

    Raises InvalidRequest with the field `storage`.
    """
    text = text or DEFAULT_STORAGE
    if len(text) > MAX_TEXT:
        raise _invalid(f"The constraint has {len(text)} characters; the limit is {MAX_TEXT}.")
    if not text.isprintable():
        raise _invalid("The constraint contains unprintable characters.")
    disks: list[DiskRequirement] = []
    position = 0
    while True:
        match = _DISK.match(text, position)
        if match is None:
            raise _invalid(f'Malformed storage constraint, "{text}".')
        disks.append(_disk(match, is_root=not disks))
        position = match.end()
        if position == len(text):
            break
        if text[position] != ",":
            raise _invalid(f'Malformed storage constraint, "{text}".')
        position += 1
    if len(disks) > MAX_DISKS:
        raise _invalid(f"{len(disks)} disks requested; a machine can have {MAX_DISKS}.")
    if in_order:
        return tuple(disks)
    root, *others = disks
    return (root, *sorted(others, key=lambda disk: -len(disk.tags) - len(disk.pools)))


def _disk(match: re.Match[str], *, is_root: bool) -> DiskRequirement:
    try:
        size_bytes = int(Decimal(match["size"]) * BYTES_PER_GB)
    except InvalidOperation:
        raise _invalid(f'"{match["size"]}" is not a size in GB.') from None
    if size_bytes < 1 and not is_root:
        raise _invalid("Only the root disk may have size 0 (any size).")
    if size_bytes > MAX_DISK_BYTES:
        raise _invalid(f"A disk of {match['size']} GB is larger than any host supports.")
    given = tuple((match["tags"] or "").split(",")) if match["tags"] else ()
    pools = tuple(tag.removeprefix(_POOL) for tag in given if tag.startswith(_POOL))
    if "" in pools:
        raise _invalid(f'"{_POOL}" needs the name of a storage pool, such as {_POOL}fast.')
    tags = tuple(tag for tag in given if not tag.startswith(_POOL))
    return DiskRequirement(label=match["label"] or "", size_bytes=size_bytes, tags=tags, pools=pools)


DEFAULT_DISK = DiskRequirement(label="root", size_bytes=8 * BYTES_PER_GB, tags=("local",))  # of DEFAULT_STORAGE


def _invalid(message: str) -> InvalidRequest:
    return InvalidRequest.of({"storage": [message]})
