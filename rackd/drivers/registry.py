"""Which driver types this rack has."""

from __future__ import annotations

from collections.abc import Mapping

from common.errors import NotKnownHere
from common.values import DriverType, HostAccess, PeerIdentity
from rackd.drivers.contract import Driver, Opening


class Drivers:
    """Opens hosts of every type it was given. Blocks as long as the host does: for the executor's threads."""

    def __init__(self, openings: Mapping[DriverType, Opening], *, absent: Mapping[DriverType, str]) -> None:
        """`absent` says of a type that is not there why not."""
        self._openings = dict(openings)
        self._absent = dict(absent)

    def open(self, access: HostAccess) -> Driver:
        return self._opening(access).open(access)

    def identify(self, access: HostAccess) -> PeerIdentity | None:
        return self._opening(access).identify(access)

    @property
    def types(self) -> tuple[DriverType, ...]:
        return tuple(sorted(self._openings))

    def _opening(self, access: HostAccess) -> Opening:
        opening = self._openings.get(access.driver)
        if opening is None:
            reason = self._absent.get(access.driver, "it has no driver for it")
            raise NotKnownHere(f"this rack cannot speak to hosts of type '{access.driver}': {reason}.")
        return opening
