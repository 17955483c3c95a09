"""Checks whether a rack's response can be the response to the request. Pure.

The region trusts a rack's report about a host that the rack reaches, because it has no other source. Before anything is
written, it checks the values that it chose itself (machine, size, guest).
"""

from __future__ import annotations

from typing import Any

from common.addresses.host_identity import identity_fingerprint
from common.disks.disk_content import MAX_PART_BYTES, ReadPart
from common.errors import InvalidRequest
from common.guests.deployment_spec import HostImage
from common.guests.guest_spec import GuestSpec
from common.rpc.commands.hardware_commands import ReadDiskCall
from common.rpc.commands.host_commands import ComposeCall, FindImageCall, FoundGuest, GuestCall, HostCall, MarkerCall
from common.values import Guest, OwnershipMarker, PeerIdentity
from common.words.phrases import number_of

_MAX_DISK_BYTES = 2**44
_MAX_STATE = 200


def response_problem(request: Any, response: Any) -> str | None:  # noqa: PLR0911  # one for each command
    """Returns the contradiction between request and response, or within the response, or None."""
    match request, response:
        case ComposeCall(spec=spec), Guest():
            return _wrong_marker(spec.marker, response) or _wrong_size(spec, response)
        case MarkerCall(marker=marker, guest_id=guest_id), Guest():
            return _wrong_id(guest_id, response) or _wrong_marker(marker, response)
        case GuestCall(guest=ref), FoundGuest(guest=Guest() as found):
            return _wrong_marker(ref.marker, found)
        case FindImageCall(fingerprint=beginning), HostImage():
            return _wrong_image(beginning, response)
        case ReadDiskCall(start=start), ReadPart():
            return _wrong_part(start, response)
        case HostCall(), PeerIdentity():
            return _wrong_fingerprint(response)
        case _:
            return None


def _wrong_id(guest_id: str, found: Guest) -> str | None:
    return None if found.guest_id == guest_id else f"it reports guest {found.guest_id!r} instead of {guest_id!r}"


def _wrong_image(beginning: str, found: HostImage) -> str | None:
    if found.fingerprint.startswith(beginning):
        return None
    return f"it reports the image {found.fingerprint} instead of {beginning}"


def _wrong_part(start: int, found: ReadPart) -> str | None:
    part, size = found.part, found.size_bytes
    if not 0 < size <= _MAX_DISK_BYTES or len(found.state) > _MAX_STATE or len(part.data) > MAX_PART_BYTES:
        return f"it reports a disk of {size} bytes and a part of {len(part.data)}"
    if part.start != start or not start <= part.offset <= part.end <= max(size, start) or (part.end == start < size):
        return f"it reports bytes {part.start} to {part.end} of a disk of {size} instead of those from {start} on"
    return None


def _wrong_fingerprint(presented: PeerIdentity) -> str | None:
    """Returns the contradiction between the certificate or key and its fingerprint, or None.

    Later calls of the host compare the certificate or key; the host is recognized by the fingerprint.
    """
    try:
        found = identity_fingerprint(presented.material)
    except InvalidRequest as error:
        return f"its {presented.kind} cannot be pinned: {error.message}"
    if found != presented.fingerprint:
        return f"the fingerprint of its {presented.kind} is {found}, not {presented.fingerprint}"
    return None


def _wrong_marker(expected: OwnershipMarker, guest: Guest) -> str | None:
    if guest.marker == expected:
        return None
    if guest.marker is None:
        found = "has no marker"
    elif guest.marker.installation_id != expected.installation_id:
        found = f"has a marker of another installation ({guest.marker.installation_id})"
    else:
        found = f"has the marker of machine {guest.marker.machine_id}"
    return f"its guest {guest.name!r} {found} instead of the marker of machine {expected.machine_id}"


def _wrong_size(spec: GuestSpec, guest: Guest) -> str | None:
    """Returns the difference between the sizes, or None. A size of 0 means that the rack could not read it."""
    found, expected = (guest.cores, guest.memory_mib), (spec.cores, spec.memory_mib)
    if found == expected or 0 in found:
        return None
    return (
        f"its guest {guest.name!r} has {number_of(found[0], 'core')} and {found[1]} MiB instead of "
        f"{number_of(expected[0], 'core')} and {expected[1]} MiB (unless the guest was just changed on the host)"
    )
