"""Parses and normalises the address of a host by its driver's rules. Pure.

Equal addresses become equal texts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from attrs import frozen

from common.addresses import libvirt as libvirt_address
from common.addresses import lxd as lxd_address
from common.addresses.simulated import SimulatedAddress
from common.errors import InvalidRequest
from common.values import DriverType

T = TypeVar("T")


@frozen(kw_only=True)
class Address:
    normalised: str
    needs_ssh_key: bool = False
    has_identity: bool = False  # the server presents a certificate or host key, which is pinned at first contact


def parse_host_address(driver: DriverType, text: str, *, simulated_allowed: bool) -> Address:
    """Returns the address. Raises InvalidRequest under `power_address`, or `type` if simulated hosts are off.

    Any text is an address of a type that another distribution adds: its driver reads it. It presents nothing to pin.
    """
    if driver is DriverType.SIMULATED:
        if not simulated_allowed:
            raise InvalidRequest.of({"type": ["Simulated hosts are off. The setting simulated_hosts turns them on."]})
        return Address(normalised=_by_field(SimulatedAddress.parse, text).normalised)
    if driver is DriverType.LIBVIRT:
        found = _by_field(libvirt_address.parse, text)
        return Address(normalised=found.normalised, needs_ssh_key=found.needs_ssh_key, has_identity=found.needs_ssh_key)
    if driver is DriverType.LXD:
        return Address(normalised=_by_field(lxd_address.parse, text).normalised, has_identity=True)
    return Address(normalised=text.strip())


def _by_field(parse_text: Callable[[str], T], text: str) -> T:
    try:
        return parse_text(text)
    except InvalidRequest as error:
        raise InvalidRequest.of({"power_address": error.texts}) from error
