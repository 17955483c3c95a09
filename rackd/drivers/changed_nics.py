"""Rules that all drivers apply when a NIC of a guest is replaced."""

from __future__ import annotations

from common.errors import NotFound, WrongState
from common.guests.guest_spec import NicSpec
from common.values import Guest, GuestNic, NicKind, PowerState


def changed_nic(guest: Guest, mac_address: str, nic: NicSpec) -> GuestNic:
    """Returns the NIC that `nic` replaces: the one with `mac_address`, or the one that an earlier attempt has replaced.

    Raises NotFound.
    """
    by_address = {one.mac_address.lower(): one for one in guest.nics}
    found = by_address.get(mac_address.lower()) or by_address.get(nic.mac_address.lower())
    if found is None:
        raise NotFound(f"{guest.name} has no NIC with the MAC address {mac_address}.", name=guest.name)
    return found


def check_replaceable(guest: Guest, replaced: GuestNic, nic: NicSpec) -> None:
    """Raises WrongState for what needs another device: a running guest would have to give back the one that it has."""
    if guest.power is PowerState.OFF:
        return
    if replaced.mac_address.lower() != nic.mac_address.lower():
        what = f"The MAC address {replaced.mac_address}"
    elif NicKind.SRIOV in {replaced.kind, nic.kind} and (replaced.kind, replaced.source) != (nic.kind, nic.source):
        what = f"The virtual function of the NIC {nic.mac_address}"
    else:
        return
    raise WrongState(
        f"{what} cannot be changed while {guest.name} runs. Shut {guest.name} down first.", name=guest.name
    )
