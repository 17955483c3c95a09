"""Racks with zones, and a record of what each was sent about which LXD server."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from attrs import define, frozen

from common.addresses.lxd import parse
from common.errors import HostUnreachable
from common.values import DriverType, HostAccess, PeerIdentity
from rackd.drivers.contract import Driver
from rackd.drivers.registry import DriverRegistry
from rackd.enrolment import join
from rackd.settings import RackSettings
from tests.deployment.deployment import Deployment
from tests.doubles.lxd_double import FakeLxd, FakeLxds

TOKEN_LIFETIME_S = 600


@frozen
class Sent:
    """One access that a rack used: the server, and whether it contained a private key."""

    server: str
    secret: bool


@define(eq=False)
class RecordedRack:
    """The LXD driver of one rack. It does not reach the servers in `cut_off`, and meets others at `impostors`."""

    lxds: FakeLxds
    sent: list[Sent]
    cut_off: set[str]
    impostors: dict[str, FakeLxd]

    def identify(self, access: HostAccess) -> PeerIdentity:
        server = self._record(access)
        if server in self.impostors:
            pem = self.impostors[server].certificate_pem
            return PeerIdentity(kind="TLS certificate", fingerprint=self.impostors[server].fingerprint, material=pem)
        return self.lxds.identify(access)

    def open(self, access: HostAccess) -> Driver:
        self._record(access)
        return self.lxds.open(access)

    def _record(self, access: HostAccess) -> str:
        server = parse(access.address).host
        self.sent.append(Sent(server, bool(access.credentials)))
        if server in self.cut_off:
            raise HostUnreachable(f"Cannot connect to {server}: no route to host")
        return server


class RecordedRacks:
    """The drivers of every rack of a deployment, by the rack's name."""

    def __init__(self, lxds: FakeLxds) -> None:
        self._lxds = lxds
        self.racks: defaultdict[str, RecordedRack] = defaultdict(lambda: RecordedRack(lxds, [], set(), {}))

    def drivers(self, settings: RackSettings) -> DriverRegistry:
        return DriverRegistry({DriverType.LXD: self.racks[Path(settings.state).name]}, absent={})

    def servers(self, rack: str) -> set[str]:
        """The servers that the rack was sent anything about."""
        return {one.server for one in self.racks[rack].sent}

    def secrets(self, rack: str) -> set[str]:
        """The servers whose private key the rack was sent."""
        return {one.server for one in self.racks[rack].sent if one.secret}


async def start_rack(innkeeper: Deployment, name: str, zones: Iterable[str]) -> None:
    """Enrols the rack for these zones and starts it."""
    racks = innkeeper.region.components.services.racks
    token = await racks.create_token(innkeeper.admin, lifetime_s=TOKEN_LIFETIME_S, zones=tuple(zones))
    await join(token, innkeeper.in_process.rack_settings(name).identity_folder, name)
    await innkeeper.start_rack(name)
