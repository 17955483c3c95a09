"""Hides from other users the addresses of VM hosts and racks, and error texts, which can contain them."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve

from regiond.caller import Caller
from regiond.hosts.model import HostView
from regiond.racks.model import RackOfHost, RackView

HIDDEN_REASON = "Administrators see the reason."


def visible_host(caller: Caller, host: HostView) -> HostView:
    """Returns the host; for users who are no administrators without its address and with only the code of its error."""
    if caller.is_admin:
        return host
    message = None if host.error_code is None else HIDDEN_REASON
    return evolve(host, address="", error_message=message, error_details=None)


def visible_racks_of_host(caller: Caller, racks: Iterable[RackOfHost]) -> tuple[RackOfHost, ...]:
    """Returns the racks; for users who are no administrators without the reasons, as `visible_rack`."""
    return tuple(one if caller.is_admin else evolve(one, error_message=None) for one in racks)


def visible_rack(caller: Caller, rack: RackView) -> RackView:
    """Returns the rack; for users who are no administrators without the reasons and remedies.

    These can contain addresses and texts of servers.
    """
    if caller.is_admin:
        return rack
    return evolve(rack, hosts=tuple(evolve(host, error_message=None) for host in rack.hosts), by_hand=())
