"""A double of libvirt hosts that report any identity, on top of the simulated driver."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import define, evolve, field
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.addresses.host_identity import identity_fingerprint
from common.addresses.libvirt import parse
from common.addresses.simulated import SimulatedAddress
from common.errors import NotTrusted
from common.hosts.discovery import Discovery
from common.values import DriverType, HostAccess, PeerIdentity
from rackd.drivers.contract import Driver
from rackd.drivers.libvirt.connection import ssh
from rackd.drivers.libvirt.factory import SSH_KEY
from rackd.drivers.registry import DriverRegistry
from rackd.drivers.simulated.driver import SimulatedDriver
from rackd.drivers.simulated.fault_injection import FaultInjector, FaultSequences
from rackd.settings import RackSettings

LOCAL = "local"  # the name of the host behind addresses without one


def random_key() -> str:
    """Returns an SSH host key."""
    public = Ed25519PrivateKey.generate().public_key()
    return public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()


@define(kw_only=True)
class FakeKvm:
    """One host. `reports` has the fields of its facts that are not those of a simulated host."""

    name: str
    reports: dict[str, Any] = field(factory=dict)
    key: str = field(factory=random_key)
    guests: int = 0
    accepts_key: bool = True  # over SSH


class FakeKvms:
    """Opens these hosts by the host name in the address."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.hosts: dict[str, FakeKvm] = {}

    def add(self, name: str, uuid: str, **fields: Any) -> FakeKvm:
        reports = {"server_identity": f"libvirt:system:{uuid}"}
        made = self.hosts[name] = FakeKvm(name=name, reports=reports, **fields)
        return made

    def identify(self, access: HostAccess) -> PeerIdentity | None:
        if not parse(access.address).needs_ssh_key:
            return None
        key = self._host(access).key
        return PeerIdentity(kind="ssh-host-key", fingerprint=identity_fingerprint(key), material=key)

    def open(self, access: HostAccess) -> Driver:
        host = self._host(access)
        address = SimulatedAddress.parse(f"simulated:{host.name}?cores=4&guests={host.guests}")
        faults = FaultInjector(
            address, FaultSequences().of(address), hold=self._folder / "none", down=self._folder / f"{host.name}.down"
        )
        return FakeKvmDriver(address, self._folder, faults, lambda: host.reports, check=lambda: _check(host, access))

    def drivers(self, _: RackSettings) -> DriverRegistry:
        """The drivers of a rack that reaches only these hosts."""
        return DriverRegistry({DriverType.LIBVIRT: self}, absent={})

    def _host(self, access: HostAccess) -> FakeKvm:
        return self.hosts[parse(access.address).host or LOCAL]


def _check(host: FakeKvm, access: HostAccess) -> None:
    """Raises NotTrusted as the driver does for a host that does not accept our key."""
    if not host.accepts_key and parse(access.address).needs_ssh_key:
        public = ssh.public_key(access.credentials[SSH_KEY])
        raise NotTrusted(f"{host.name} rejected the SSH key. Add this line: {public}", public_key=public)


class FakeKvmDriver(SimulatedDriver):
    def __init__(
        self,
        address: SimulatedAddress,
        folder: Path,
        faults: FaultInjector,
        reports: Callable[[], dict[str, Any]],
        *,
        check: Callable[[], None],
    ) -> None:
        super().__init__(address, folder, faults)
        self._reports = reports
        self._check = check

    def discover(self) -> Discovery:
        self._check()
        found = super().discover()
        return evolve(found, facts=evolve(found.facts, **self._reports()))
