"""A double of LXD servers: trust store, tokens and projects, on top of the simulated driver.

It implements the contract's trust methods; tests/lab/hosts/test_lxd_hosts.py runs the same scenarios on real LXD.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from attrs import define, evolve, field

from common.addresses.lxd import parse
from common.disks.disk_content import DiskPart
from common.errors import OF_IDENTITY, HostUnreachable, NotFound, NotTrusted, PeerChanged
from common.guests.deployment_spec import ImageRef
from common.guests.guest_spec import GuestSpec
from common.hosts.discovery import Discovery
from common.trust.certificates import fingerprint, load_certificate, make_authority, utc_now
from common.values import (
    DriverType,
    Guest,
    GuestRef,
    HostAccess,
    PeerIdentity,
    Project,
)
from common.words.product_commands import commands_of
from rackd.drivers.contract import Driver, ImageContent
from rackd.drivers.driver_errors import only_whole_disks
from rackd.drivers.lxd.guests.disks.qcow2_extents import Qcow2Extents
from rackd.drivers.registry import DriverRegistry
from rackd.drivers.simulated.driver import SimulatedDriverFactory
from rackd.settings import RackSettings


@define(kw_only=True)
class FakeLxd:
    """One server. `trusted` maps the fingerprints of certificates to their names."""

    name: str
    product: str = "LXD"
    certificate_pem: str = field(init=False)
    trusted: dict[str, str] = field(factory=dict)
    restricted: set[str] = field(factory=set)
    identities: set[str] = field(factory=set)  # certificates of identities that may not remove one
    shows_identities: bool = False  # to identities
    on_trust: Callable[[str], object] = lambda _: None  # called with the fingerprint of each certificate that it trusts
    secrets: set[str] = field(factory=set)  # tokens and passwords that work once
    projects: dict[str, str] = field(factory=lambda: {"default": "Default LXD project"})
    seen_secrets: list[str] = field(factory=list)
    used: list[str] = field(factory=list)  # the fingerprint used by each call
    reports: dict[str, Any] = field(factory=dict)  # fields of its facts that are not those of a simulated host
    lost: list[str] = field(factory=list)  # calls that fail once: `trust` before it takes effect, `trust!` after

    def __attrs_post_init__(self) -> None:
        self.certificate_pem = make_authority(self.name, utc_now())[1]

    @property
    def fingerprint(self) -> str:
        return fingerprint(load_certificate(self.certificate_pem))

    def token(self, *, fingerprint: str | None = None) -> str:
        whole = {
            "client_name": "innkeeper",
            "fingerprint": fingerprint or self.fingerprint,
            "addresses": ["127.0.0.1:8443"],
            "secret": secrets.token_hex(16),
            "expires_at": "0001-01-01T00:00:00Z",
        }
        text = base64.b64encode(json.dumps(whole).encode()).decode()
        self.secrets.add(text)
        return text

    def lose(self, call: str) -> None:
        if call in self.lost:
            self.lost.remove(call)
            raise HostUnreachable(f"the connection was lost at {call}")

    def trust(self, certificate_pem: str, name: str = "by hand") -> None:
        """`lxc config trust add`."""
        self.trusted[fingerprint(load_certificate(certificate_pem))] = name


class FakeLxds:
    """Opens these servers by the host name in the address."""

    def __init__(self, folder: Path, *servers: FakeLxd) -> None:
        self._simulated = SimulatedDriverFactory(folder)
        self.servers = {server.name: server for server in servers}
        self.aliases: dict[str, str] = {}  # additional names of a server
        self.claims: dict[str, str] = {}  # fingerprints that are not those of the servers' certificates
        self.additions: dict[str, str] = {}  # what a rack reports after the servers' certificates

    def add(self, *servers: FakeLxd) -> FakeLxds:
        self.servers |= {server.name: server for server in servers}
        return self

    def identify(self, access: HostAccess) -> PeerIdentity:
        server = self.server(access)
        claimed = self.claims.get(server.name, server.fingerprint)
        material = server.certificate_pem + self.additions.get(server.name, "")
        return PeerIdentity(kind="TLS certificate", fingerprint=claimed, material=material)

    def open(self, access: HostAccess) -> Driver:
        return cast(Driver, FakeLxdDriver(self.server(access), access, self.simulated(access)))

    def simulated(self, access: HostAccess) -> Driver:
        """The simulated host that holds the server's guests."""
        address = f"simulated:{self.server(access).name}?cores=8&memory_mib=16384"
        return self._simulated.open(evolve(access, driver=DriverType.SIMULATED, address=address))

    def drivers(self, _: RackSettings) -> DriverRegistry:
        """The drivers of a rack that reaches only these servers."""
        return DriverRegistry({DriverType.LXD: self}, absent={})

    def server(self, access: HostAccess) -> FakeLxd:
        name = parse(access.address).host
        return self.servers[self.aliases.get(name, name)]


class FakeLxdDriver:
    """The methods of the contract that are not here act on the guests, which a simulated host has."""

    def __init__(self, server: FakeLxd, access: HostAccess, inner: Driver) -> None:
        self._server = server
        self._access = access
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(Driver, name):
            raise AttributeError(name)

        def call(*args: Any, **named: Any) -> Any:
            return getattr(self._trusted_host(), name)(*args, **named)

        return call

    def reach(self) -> str:
        self._server.lose("reach")
        return self._trusted_host().reach()

    def discover(self) -> Discovery:
        self._check_trust()
        if self._access.project not in self._server.projects:
            raise NotFound(f"LXD: Project not found: {self._access.project}.")
        found = self._inner.discover()
        return evolve(found, facts=evolve(found.facts, **self._server.reports))

    def compose(self, spec: GuestSpec) -> Guest:
        return self._trusted_host().compose(spec)

    def write_disk(self, guest: GuestRef, pool_id: str, volume: str, part: DiskPart) -> None:
        raise only_whole_disks()

    def fill_disk(self, spec: GuestSpec, volume: str, image: ImageRef, content: ImageContent) -> None:
        host = self._trusted_host()
        disk = next(one for one in spec.disks if one.volume == volume)
        source = Qcow2Extents.of(image, content)
        for extent in source.joined(1000):
            at = extent.start
            for data in source.content_of(extent):
                host.write_disk(spec.ref, disk.pool_id, volume, DiskPart(start=at, offset=at, data=data))
                at += len(data)

    def find(self, guest: GuestRef) -> Guest | None:
        return self._trusted_host().find(guest)

    def projects(self) -> tuple[Project, ...]:
        self._check_trust()
        return tuple(Project(name=name, description=text) for name, text in self._server.projects.items())

    def make_project(self, description: str) -> None:
        self._check_trust()
        self._server.projects.setdefault(self._access.project, description)

    def trust(self, certificate_pem: str, name: str, secret: str | None) -> None:
        self._check_peer()
        self._server.lose("trust")
        wanted = fingerprint(load_certificate(certificate_pem))
        if wanted in self._server.trusted:
            return
        if secret is not None:
            self._server.seen_secrets.append(secret)
            if secret not in self._server.secrets:
                raise NotTrusted(f"{self._server.product}: not authorized.", product=self._server.product)
            self._server.secrets.remove(secret)
        elif self._own() not in self._server.trusted or self._own() in self._server.restricted:
            raise NotTrusted("LXD: Certificate is restricted.")
        elif self._own() in self._server.identities:  # which changes its certificate
            del self._server.trusted[self._own()]
            self._server.identities.add(wanted)
        self._server.trusted[wanted] = name
        self._server.on_trust(wanted)
        self._server.lose("trust!")

    def untrust(self, fingerprint: str) -> None:
        self._server.lose("untrust")
        if fingerprint == self._own() and fingerprint not in self._server.trusted:
            return
        self._check_trust()
        if self._own() in self._server.restricted and fingerprint in self._server.trusted:
            raise NotTrusted("LXD: not authorized.")
        if self._own() in self._server.identities:
            if fingerprint == self._own() or (self._server.shows_identities and fingerprint in self._server.trusted):
                raise NotTrusted("LXD: it may not remove an identity.", **{OF_IDENTITY: True})
            return
        self._server.trusted.pop(fingerprint, None)
        self._server.lose("untrust!")

    def close(self) -> None:
        self._inner.close()

    def _own(self) -> str:
        return fingerprint(load_certificate(self._access.credentials["certificate"]))

    def _check_peer(self) -> None:
        assert "PRIVATE KEY" in self._access.credentials["key"]
        if self._access.pinned != self._server.certificate_pem:
            message = f"{self._access.address} presents the certificate {self._server.fingerprint}."
            raise PeerChanged(message, presented=self._server.fingerprint)

    def _trusted_host(self) -> Driver:
        """Checks peer and trust, and returns the simulated host."""
        self._check_trust()
        return self._inner

    def _check_trust(self) -> None:
        self._check_peer()
        if self._own() not in self._server.trusted:
            address = self._access.address
            commands = commands_of(self._server.product)
            reason = f"{commands.product} at {address} does not trust Innkeeper's certificate."
            raise NotTrusted(
                f"{reason} On that server, get a token with: {commands.how_to_trust}", reason=reason,
                product=commands.product,
            )  # fmt: skip
        self._server.used.append(self._own())
