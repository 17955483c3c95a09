"""Maps driver types to the factories that this rack has."""

from __future__ import annotations

from collections.abc import Mapping

from common.errors import UnsupportedByPeer
from common.values import DriverType, HostAccess, PeerIdentity
from rackd.drivers.contract import Driver, DriverFactory


class DriverRegistry:
    """Opens and identifies hosts. Every method may block as long as the host does: call it from a thread."""

    def __init__(self, factories: Mapping[DriverType, DriverFactory], *, absent: Mapping[DriverType, str]) -> None:
        """`absent` gives the reason for each type without a factory."""
        self._factories = dict(factories)
        self._absent = dict(absent)

    def open(self, access: HostAccess) -> Driver:
        """Raises UnsupportedByPeer if this rack has no driver for the host."""
        return self._factory(access).open(access)

    def identify(self, access: HostAccess) -> PeerIdentity | None:
        """Raises UnsupportedByPeer if this rack has no driver for the host."""
        return self._factory(access).identify(access)

    @property
    def types(self) -> tuple[DriverType, ...]:
        return tuple(sorted(self._factories))

    def _factory(self, access: HostAccess) -> DriverFactory:
        factory = self._factories.get(access.driver)
        if factory is None:
            reason = self._absent.get(access.driver, "no driver is installed")
            raise UnsupportedByPeer(f"This rack cannot use hosts of type '{access.driver}': {reason}.")
        return factory
