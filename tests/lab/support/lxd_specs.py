"""Guests for the driver's tests on the lab's LXD and Incus, and drivers with an instrumented client."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, TypeVar

from common.addresses.lxd import parse
from common.disks.device_names import lxd_device_name, lxd_serial
from common.guests.guest_spec import GuestSpec
from rackd.drivers.lxd.connection import tls
from rackd.drivers.lxd.connection.client import Client, Scope
from rackd.drivers.lxd.driver import LxdDriver
from regiond.machines.core.guest_spec import name_of_new_volume
from tests.contract.support.guest_samples import new_marker, small_guest
from tests.lab.conftest import INSTALLATION
from tests.lab.servers.lxd_server import LxdServer
from tests.lab.support.key_pair import KeyPair

C = TypeVar("C", bound=Client)


def small_spec(name: str, pools: Sequence[str] = ("default",), *, product: str = "LXD", **fields: Any) -> GuestSpec:
    return small_guest(
        name,
        new_marker(INSTALLATION),
        pools,
        serial=lambda _, index: lxd_serial(lxd_device_name(index), product=product),
        volume=lambda marker, index: name_of_new_volume(marker, index, product=product),
        **fields,
    )


class Fatal(Client):
    """Kills the server before the `left`-th request."""

    victim: LxdServer
    left = 0

    def request(self, *arguments: Any, **options: Any) -> Any:
        self.left -= 1
        if self.left == 0:
            self.victim.kill()
        return super().request(*arguments, **options)


def driver_through(kind: type[C], lxd: LxdServer, pair: KeyPair, *, member: str | None = None) -> tuple[LxdDriver, C]:
    """A driver that uses this client class."""
    access = lxd.access(pair)
    assert access.pinned is not None
    context = tls.context(pinned_pem=access.pinned, certificate_pem=pair.certificate_pem, key_pem=pair.key_pem)
    closing = threading.Event()
    client = kind(parse(access.address), context, access.pinned, closing=closing, large_body=threading.Lock())
    place = Scope(project="default", member=member)
    return LxdDriver(client, place, own_pem=pair.certificate_pem, pinned_pem=access.pinned, closing=closing), client
