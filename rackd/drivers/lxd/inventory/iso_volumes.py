"""The volumes with copies of ISO images, and the devices by which instances have them. Pure.

A volume is named after its image, since a listing of instances shows no more of it. A server that is killed while it
copies an image leaves a volume that seems whole, and no key of its config may change. So the description says that a
copy is complete, and the name has a suffix: a broken copy is not in the way of the next one.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta

from rackd.drivers.lxd.inventory.volume_index import Volume

Device = Mapping[str, str]

COMPLETE = "ISO image of Innkeeper"  # the description
ABANDONED_AFTER = timedelta(hours=2)
_NAME = re.compile(r"ik-iso-(?P<image>[a-z2-7]{52})-[0-9a-f]{4}", re.ASCII)
_DEVICE = "iso"
_TIME_DIGITS = len("2026-11-26T00:00:00")


def iso_volume_name(sha256: str, suffix: str) -> str:
    """Returns the name of a volume, of 64 characters: Incus accepts no more. `suffix` is four hexadecimal digits."""
    packed = base64.b32encode(bytes.fromhex(sha256)).decode().rstrip("=").lower()
    return f"ik-iso-{packed}-{suffix}"


def sha256_of_name(name: str) -> str:
    """Returns the SHA-256 of the image of such a volume; empty for any other name."""
    found = _NAME.fullmatch(name)
    return "" if found is None else base64.b32decode(f"{found['image'].upper()}====").hex()


def is_complete(volume: Volume) -> bool:
    return volume.description == COMPLETE


def is_abandoned(volume: Volume, now: datetime) -> bool:
    """Returns whether no upload can be filling the volume any more, although it is incomplete."""
    try:
        made_at = datetime.fromisoformat(volume.created_at[:_TIME_DIGITS]).replace(tzinfo=UTC)
    except ValueError:
        return False
    return not is_complete(volume) and made_at < now - ABANDONED_AFTER


def drives_of(devices: Mapping[str, Device]) -> list[str]:
    """Returns the names of the devices with images of the region, in order."""
    return sorted(name for name, device in devices.items() if sha256_of_device(device))


def iso_of(devices: Mapping[str, Device]) -> str:
    """Returns the SHA-256 of the image that an instance has; empty without one."""
    return next((sha256_of_device(devices[name]) for name in drives_of(devices)), "")


def free_device(taken: Collection[str]) -> str:
    """Returns a name for a device that none of these has."""
    return next(name for name in (_DEVICE, *(f"{_DEVICE}{number}" for number in range(1, 1000))) if name not in taken)


def sha256_of_device(device: Device) -> str:
    """Returns the SHA-256 of the image in this drive; empty for any other device."""
    is_volume = device.get("type") == "disk" and device.get("pool")
    return sha256_of_name(device.get("source", "")) if is_volume else ""
