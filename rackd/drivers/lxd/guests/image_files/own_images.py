"""Images that an LXD server has without Innkeeper's doing. They are used where they are, and never removed."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from common.errors import DriverFailed, NotFound, WrongState
from common.guests.deployment_spec import HostImage
from common.words.phrases import first_of
from rackd.drivers.lxd.connection.client import Client, Json, Scope, path
from rackd.drivers.lxd.connection.failures import NotAuthorized
from rackd.drivers.lxd.guests.image_files.exported_image import disk_bytes
from rackd.drivers.lxd.inventory.image_copies import SHA256_PROPERTY
from rackd.drivers.lxd.inventory.ownership import VM

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

_SHORT = 12  # digits of a fingerprint, as `lxc image list` shows it
_MAX_NAMED = 20


def find(client: Client, scope: Scope, *, fingerprint: str = "", alias: str = "") -> HostImage:
    """Behaves as `find_image` of the driver contract says, in two requests."""
    listed: list[Json] = client.get("images", recursion="1", project=scope.project)
    where = f"{client.place} (project '{scope.project}')"
    named = f"with the alias {alias}" if alias else fingerprint
    matching = [one for one in listed if _is_meant(one, fingerprint, alias)]
    usable = [one for one in matching if one.get("type") == VM]
    if not matching:
        raise NotFound(f"{where} has no image {named}; {_choices(listed)}", fingerprint=fingerprint, alias=alias)
    if not usable:
        raise WrongState(f"The image {named} of {where} is one of containers; machines need one of VMs.")
    if len(usable) > 1:
        fingerprints = sorted(str(one["fingerprint"]) for one in usable)
        raise WrongState(f"Several images of {where} begin with {fingerprint}: {first_of(fingerprints, _MAX_NAMED)}.")
    if sha256 := _properties(usable[0]).get(SHA256_PROPERTY):
        raise WrongState(
            f"The image {named} of {where} is Innkeeper's own copy of the image {str(sha256)[:_SHORT]}, which it "
            "removes when nothing uses it. Deploy that image."
        )
    return _image(client, scope, usable[0])


def _is_meant(one: Json, fingerprint: str, alias: str) -> bool:
    if alias:
        return alias in _aliases(one)
    return bool(fingerprint) and str(one["fingerprint"]).startswith(fingerprint)


def _choices(listed: Iterable[Json]) -> str:
    """Returns a text with the images that a user can choose: those of VMs, by alias where they have one."""
    names = sorted(
        name
        for one in listed
        if one.get("type") == VM and SHA256_PROPERTY not in _properties(one)
        for name in (_aliases(one) or [str(one["fingerprint"])[:_SHORT]])
    )
    return f"its images of VMs are {first_of(names, _MAX_NAMED)}." if names else "it has no images of VMs."


def _aliases(one: Json) -> list[str]:
    return [str(alias["name"]) for alias in one.get("aliases") or ()]


def _properties(one: Json) -> Json:
    found: Json = one.get("properties") or {}
    return found


def _disk_bytes(client: Client, scope: Scope, fingerprint: str) -> int | None:
    """Returns the size of the disk, None if unknown: LXD then rejects a small root disk after deleting the old one."""
    try:
        beginning = client.beginning_of(path("images", fingerprint, "export"), project=scope.project)
    except (DriverFailed, NotAuthorized, NotFound) as error:
        log.info("image_not_read", fingerprint=fingerprint, reason=str(error))
        return None
    return disk_bytes(beginning)


def _image(client: Client, scope: Scope, one: Json) -> HostImage:
    properties = _properties(one)
    return HostImage(
        fingerprint=str(one["fingerprint"]),
        architecture=str(one["architecture"]),
        size_bytes=int(one["size"]),
        virtual_size_bytes=_disk_bytes(client, scope, str(one["fingerprint"])),
        os=str(properties.get("os") or ""),
        release=str(properties.get("release") or ""),
        description=str(properties.get("description") or ""),
    )
