"""Loads an installed driver when the rack has the first host of its type."""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib.metadata import EntryPoint

from common.errors import UnsupportedByPeer
from common.values import HostAccess, PeerIdentity
from rackd.drivers.contract import Driver, DriverFactory, DriverSetup


class InstalledDriver:
    """The factory of an entry point, which is a function of a DriverSetup. A failed import is tried again."""

    def __init__(self, entry: EntryPoint, setup: DriverSetup) -> None:
        self._entry = entry
        self._setup = setup
        self._lock = threading.Lock()
        self._loaded: DriverFactory | None = None

    def identify(self, access: HostAccess) -> PeerIdentity | None:
        """Raises UnsupportedByPeer if the driver cannot be imported."""
        return self._factory().identify(access)

    def open(self, access: HostAccess) -> Driver:
        """Raises UnsupportedByPeer if the driver cannot be imported."""
        return self._factory().open(access)

    def _factory(self) -> DriverFactory:
        with self._lock:
            if self._loaded is None:
                self._loaded = self._make()(self._setup)
            return self._loaded

    def _make(self) -> Callable[[DriverSetup], DriverFactory]:
        try:
            made: Callable[[DriverSetup], DriverFactory] = self._entry.load()
        except (ImportError, AttributeError) as error:
            raise UnsupportedByPeer(
                f"This rack cannot use hosts of type '{self._entry.name}': the driver {self._entry.value} cannot be "
                f"imported: {error}."
            ) from error
        return made
