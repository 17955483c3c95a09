"""Images that a simulated host has itself: those of its address."""

from __future__ import annotations

from common.addresses.simulated import SimulatedAddress
from common.errors import NotFound, WrongState
from common.guests.deployment_spec import HostImage
from common.units import BYTES_PER_GB

_PACKED_BYTES = 1024 * 1024  # of each image


def find(address: SimulatedAddress, *, fingerprint: str = "", alias: str = "") -> HostImage:
    """Behaves as `find_image` of the driver contract says."""
    found = [
        one
        for one in address.images
        if (one.alias == alias if alias else bool(fingerprint) and one.fingerprint.startswith(fingerprint))
    ]
    if not found:
        names = ", ".join(sorted(one.alias for one in address.images))
        named = f"with the alias {alias}" if alias else fingerprint
        choices = f"its images of VMs are {names}." if names else "it has no images of VMs."
        raise NotFound(f"{address.identity} has no image {named}; {choices}", fingerprint=fingerprint, alias=alias)
    if len(found) > 1:
        raise WrongState(f"Several images of {address.identity} begin with {fingerprint}.")
    (image,) = found
    return HostImage(
        fingerprint=image.fingerprint,
        architecture="x86_64",
        size_bytes=_PACKED_BYTES,
        virtual_size_bytes=image.disk_gb * BYTES_PER_GB or None,
        description=f"Simulated image {image.alias}",
    )
