"""Names of the volumes that hold images.

libvirt cannot rename a volume. An upload fills a volume with a name of its own, and then creates a second, tiny volume
beside it that says that the first is complete. Two racks can so upload the same image at once.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from attrs import frozen

STALE_AFTER_S = 7200  # four times the longest call of a region

_DATA = re.compile(r"ik-image-(?P<sha256>[0-9a-f]{64})-(?P<started>[0-9a-f]{8})(?P<suffix>[0-9a-f]{8})", re.ASCII)
_COMPLETE = "-complete"


@frozen(kw_only=True)
class ImageUpload:
    """One upload of an image to a storage pool. `started_at_s` is the rack's time, in seconds since 1970."""

    sha256: str
    started_at_s: int
    suffix: str  # 8 hex digits, different for each upload

    @property
    def data_volume(self) -> str:
        return f"ik-image-{self.sha256}-{self.started_at_s:08x}{self.suffix}"

    @property
    def complete_volume(self) -> str:
        return f"{self.data_volume}{_COMPLETE}"


def complete_uploads(names: Collection[str], sha256: str) -> tuple[ImageUpload, ...]:
    """Returns the complete uploads of this image among the volumes of a pool, the oldest first."""
    known = set(names)
    found = (upload for upload in map(_upload_of, known) if upload is not None and upload.sha256 == sha256)
    complete = (upload for upload in found if {upload.data_volume, upload.complete_volume} <= known)
    return tuple(sorted(complete, key=lambda upload: upload.data_volume))


def stored_images(names: Collection[str]) -> dict[str, tuple[ImageUpload, ...]]:
    """Returns the uploads among the volumes of a pool, complete or not, by the SHA-256 of the image."""
    found: dict[str, tuple[ImageUpload, ...]] = {}
    for upload in filter(None, map(_upload_of, sorted(names))):
        found[upload.sha256] = (*found.get(upload.sha256, ()), upload)
    return found


def abandoned_volumes(names: Collection[str], now_s: float) -> tuple[str, ...]:
    """Returns the volumes of uploads, of any image, that a killed rack left incomplete so long ago that none fills
    them.
    """
    known = set(names)
    abandoned = []
    for name in sorted(known):
        upload = _upload_of(name.removesuffix(_COMPLETE))
        if upload is None or {upload.data_volume, upload.complete_volume} <= known:
            continue
        if upload.started_at_s + STALE_AFTER_S < now_s:
            abandoned.append(name)
    return tuple(abandoned)


def sha256_of(name: str) -> str:
    """Returns the SHA-256 of the image in a volume that an upload filled; empty for any other volume."""
    upload = _upload_of(name)
    return "" if upload is None else upload.sha256


def is_of_image(name: str, sha256: str) -> bool:
    """Returns whether this volume belongs to an upload of the image."""
    upload = _upload_of(name.removesuffix(_COMPLETE))
    return upload is not None and upload.sha256 == sha256


def _upload_of(name: str) -> ImageUpload | None:
    found = _DATA.fullmatch(name)
    if found is None:
        return None
    return ImageUpload(sha256=found["sha256"], started_at_s=int(found["started"], 16), suffix=found["suffix"])
