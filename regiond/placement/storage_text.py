"""The storage constraint text: `[label:]size[(tag,…)]`, joined by commas; sizes in GB of 10^9 bytes."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

from attrs import frozen

from common.errors import InvalidRequest
from common.units import BYTES_PER_GB

DEFAULT_STORAGE = "root:8(local)"
MAX_DISKS = 26  # vda … vdz
MAX_DISK_BYTES = 2**60
MAX_TEXT = 16384

_DISK = re.compile(r"(?:(?P<label>[A-Za-z0-9]+):)?(?P<size>[0-9.]+)(?:\((?P<tags>[^(),]+(?:,[^(),]+)*)\))?")


@frozen(kw_only=True)
class DiskWish:
    """`label` has no meaning in compose; allocate gives it back. `size_bytes` 0 (of a root disk): any size will do."""

    label: str
    size_bytes: int
    tags: tuple[str, ...]


def parse_storage(text: str) -> tuple[DiskWish, ...]:
    """The disks asked for: the first is the root disk, then those with more tags first (as clients expect).

    Empty text means the default. Raises InvalidRequest with the field `storage`.
    """
    text = text or DEFAULT_STORAGE
    if len(text) > MAX_TEXT:
        raise _refused(f"The constraint has {len(text)} characters; {MAX_TEXT} are the most.")
    if not text.isprintable():
        raise _refused("The constraint holds characters that cannot be printed.")
    wishes: list[DiskWish] = []
    position = 0
    while True:
        match = _DISK.match(text, position)
        if match is None:
            raise _refused(f'Malformed storage constraint, "{text}".')
        wishes.append(_wish(match, is_root=not wishes))
        position = match.end()
        if position == len(text):
            break
        if text[position] != ",":
            raise _refused(f'Malformed storage constraint, "{text}".')
        position += 1
    if len(wishes) > MAX_DISKS:
        raise _refused(f"{len(wishes)} disks asked for; a machine can have {MAX_DISKS}.")
    root, *others = wishes
    return (root, *sorted(others, key=lambda wish: -len(wish.tags)))


def _wish(match: re.Match[str], *, is_root: bool) -> DiskWish:
    try:
        size_bytes = int(Decimal(match["size"]) * BYTES_PER_GB)
    except InvalidOperation:
        raise _refused(f'"{match["size"]}" is no size in GB.') from None
    if size_bytes < 1 and not is_root:
        raise _refused("Only the root disk may have the size 0 (any size will do).")
    if size_bytes > MAX_DISK_BYTES:
        raise _refused(f"A disk of {match['size']} GB is larger than any host can hold.")
    tags = tuple((match["tags"] or "").split(",")) if match["tags"] else ()
    return DiskWish(label=match["label"] or "", size_bytes=size_bytes, tags=tags)


def _refused(message: str) -> InvalidRequest:
    return InvalidRequest.of({"storage": [message]})
