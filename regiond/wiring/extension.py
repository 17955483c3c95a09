"""The part of an extension that the region builds and runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from attrs import frozen

from common.errors import WrongState
from regiond.db.pool import Db
from regiond.machines.arrivals.compose.model import MaasRegistrations
from regiond.machines.hardware.requests import HardwareRequests
from regiond.operations.handler import OperationHandler
from regiond.operations.model import Operation
from regiond.process import extensions
from regiond.process.advertised_addresses import AdvertisedAddresses
from regiond.process.settings import RegionSettings
from regiond.wiring.components import AccountLayer, BackgroundTask, MachineLayer, RackLayer, Storage


@frozen(kw_only=True)
class Layers:
    """All that an extension can be built on."""

    settings: RegionSettings
    storage: Storage
    racks: RackLayer
    machines: MachineLayer
    accounts: AccountLayer
    addresses: AdvertisedAddresses


@frozen(kw_only=True)
class Built:
    """An extension of one region. Its endpoints and pages find `services` by their class.

    `handlers` run its kinds of operations, `tasks` run while the region does.
    """

    services: object
    handlers: tuple[OperationHandler, ...] = ()
    tasks: tuple[BackgroundTask, ...] = ()


@frozen(kw_only=True)
class RegionExtension:
    """Builds an extension. `registrations` are made before machines, whose composes and deletions call them."""

    wire: Callable[[Layers], Built]
    registrations: Callable[[Storage, HardwareRequests], MaasRegistrations] | None = None


@cache
def region_extensions() -> tuple[RegionExtension, ...]:
    return extensions.extensions(extensions.REGION, RegionExtension)


def wire_registrations(storage: Storage, requests: HardwareRequests) -> MaasRegistrations:
    for one in region_extensions():
        if one.registrations is not None:
            return one.registrations(storage, requests)
    return _NoRegistrations()


class _NoRegistrations:
    """Refuses, where no extension registers machines."""

    async def problems(self, server: str) -> Sequence[str]:
        return (f"This region registers no machines in MAAS servers such as {server!r}.",)

    async def composed(self, db: Db, operation: Operation, server_name: str) -> None:
        raise WrongState(f"This region registers no machines in MAAS servers such as {server_name!r}.")

    async def deleted(self, db: Db, operation: Operation) -> None:
        """Nothing is registered."""
