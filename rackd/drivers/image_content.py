"""Checks of an image that all drivers make before they use it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from common.errors import DriverFailed, OutOfCapacity
from common.guests.deployment_spec import ImageRef
from common.guests.guest_spec import DiskSpec
from common.rpc.commands.region_commands import CONTENT_PART_BYTES
from rackd.drivers.contract import ImageContent


def verified_parts(image: ImageRef, content: ImageContent) -> Iterator[bytes]:
    """Yields the content in parts. Raises DriverFailed, after the last part, if it is not that of the image."""
    digest = hashlib.sha256()
    offset = 0
    while offset < image.size_bytes:
        part = content.read(offset, min(CONTENT_PART_BYTES, image.size_bytes - offset))
        if not part:
            break
        digest.update(part)
        offset += len(part)
        yield part
    if offset != image.size_bytes or digest.hexdigest() != image.sha256:
        raise DriverFailed(
            f"The image arrived damaged: {offset} of {image.size_bytes} bytes with SHA-256 {digest.hexdigest()} "
            f"instead of {image.sha256}."
        )


def check_image_fits(image: ImageRef, root: DiskSpec) -> None:
    """Raises OutOfCapacity if the disk in the image is larger than the root disk."""
    if image.virtual_size_bytes > root.size_bytes:
        raise OutOfCapacity(
            f"The image needs a root disk of {image.virtual_size_bytes} bytes; this one has {root.size_bytes}.",
            requested_bytes=image.virtual_size_bytes,
            total_bytes=root.size_bytes,
        )
