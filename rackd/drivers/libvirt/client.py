"""An open libvirt connection, typed: it counts its calls, and its errors are ours.

With `library.py` and `handles.py` the only place that knows the library.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import libvirt
import structlog
from attrs import frozen

from common.errors import DriverFailed, NotFound, Unsupported
from rackd.drivers.libvirt.devices import NO_DEVICES, Devices
from rackd.drivers.libvirt.handles import Domain, Network, Pool
from rackd.drivers.libvirt.library import ensure_event_loop, translate, translate_opening
from rackd.drivers.libvirt.pretended import Stats, completed
from rackd.drivers.libvirt.surveying import Surveyor

T = TypeVar("T")

KEEPALIVE_EVERY_S, KEEPALIVE_MISSES = 3, 2  # a daemon that stopped answering fails its calls after 9 s
STATS = (
    libvirt.VIR_DOMAIN_STATS_STATE
    | libvirt.VIR_DOMAIN_STATS_BALLOON
    | libvirt.VIR_DOMAIN_STATS_VCPU
    | libvirt.VIR_DOMAIN_STATS_BLOCK
)
# What may change a definition and is told: not `virsh … --config` on a guest that is off, but for metadata.
DEFINITION_EVENTS = (
    libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,  # defined, started, stopped: then another definition counts
    libvirt.VIR_DOMAIN_EVENT_ID_TUNABLE,  # pins of a running guest
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED,
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
    libvirt.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE,
)

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


class Readable(Protocol):
    def xml(self) -> str: ...


@frozen(kw_only=True)
class BulkDomain:
    """One domain of a bulk answer."""

    name: str
    uuid: str
    stats: Stats
    handle: Readable


@frozen(kw_only=True)
class HostAnswers:
    """What the host said of itself, as it said it."""

    uri: str
    hostname: str
    lib_version: int
    node_info: tuple[str, int, int, int, int, int, int, int]
    memory_kib: int | None
    capabilities: str
    has_smbios: bool
    nwfilter_uuid: str | None
    expanded_cpu: str | None
    pools: tuple[str, ...]
    networks: tuple[tuple[str, bool], ...]  # XML, and whether it is active
    interfaces: tuple[tuple[str, bool], ...] = ()  # likewise
    devices: Devices = NO_DEVICES


class Client:
    """An open connection. Every method may raise HostUnreachable, NotTrusted, Busy or DriverFailed besides its own."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.is_test = connection.getType() == "TEST"
        self.calls = 0  # round trips to the hypervisor so far
        self._surveyor = Surveyor(self, connection)
        self._callbacks: list[int] = []

    @classmethod
    def open(cls, uri: str) -> Client:
        """Connect; may block for as long as the host does. HostUnreachable, NotTrusted or Unsupported."""
        ensure_event_loop()
        try:
            connection = libvirt.open(uri)
        except libvirt.libvirtError as error:
            raise translate_opening(error, uri.partition("?")[0]) from error
        client = cls(connection)
        if not client.is_test:
            client.call("asking for signs of life", connection.setKeepAlive, KEEPALIVE_EVERY_S, KEEPALIVE_MISSES)
        return client

    def call(self, what: str, function: Callable[..., T], *arguments: object) -> T:
        self.calls += 1
        try:
            return function(*arguments)
        except libvirt.libvirtError as error:
            raise translate(error, what, connected=self.alive()) from error

    def alive(self) -> bool:
        """Without a round trip."""
        try:
            return bool(self._connection.isAlive())
        except libvirt.libvirtError:
            return False

    def lib_version(self) -> int:
        return int(self.call("asking for the version", self._connection.getLibVersion))

    def host(self) -> HostAnswers:
        connection = self._connection
        capabilities = self.capabilities()
        return HostAnswers(
            uri=connection.getURI().partition("?")[0],
            hostname=self.call("asking for the host name", connection.getHostname),
            lib_version=self.lib_version(),
            node_info=tuple(self.call("asking for the capacity", connection.getInfo)),
            memory_kib=self._memory_kib(),
            capabilities=capabilities,
            has_smbios=self._has_smbios(),
            nwfilter_uuid=self._nwfilter_uuid(),
            expanded_cpu=self._expanded_cpu(capabilities),
            pools=self.pools(),
            networks=self.networks(),
            interfaces=self._surveyor.interfaces(),
            devices=self._surveyor.devices(),
        )

    def pools(self) -> tuple[str, ...]:
        """The definitions of the active storage pools."""
        active = libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE
        found = []
        for pool in self.call("listing storage pools", self._connection.listAllStoragePools, active):
            with suppress(NotFound):  # removed since it was listed
                found.append(self.call("reading a storage pool", pool.XMLDesc))
        return tuple(found)

    def volume_names(self, pool_ids: Container[str]) -> Mapping[str, tuple[str, ...]]:
        """The volumes of those storage pools that can be listed, by the pool's id: a call for each pool, and one."""
        active = libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE
        found = {}
        for pool in self.call("listing storage pools", self._connection.listAllStoragePools, active):
            if pool.UUIDString() in pool_ids:
                try:
                    volumes = self.call(f"listing the volumes of {pool.name()}", pool.listAllVolumes)
                except (NotFound, DriverFailed, Unsupported) as error:
                    log.info("volumes_not_told", pool=pool.name(), reason=str(error))
                    continue
                found[pool.UUIDString()] = tuple(volume.name() for volume in volumes)
        return found

    def networks(self) -> tuple[tuple[str, bool], ...]:
        """The definition of each network, and whether it is active."""
        ask = self._connection.listAllNetworks
        networks = self.call("listing networks", ask)
        live = self.call("listing networks", ask, libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE)
        live_ids = {network.UUIDString() for network in live}
        found = []
        for network in networks:
            with suppress(NotFound):
                found.append((self.call("reading a network", network.XMLDesc), network.UUIDString() in live_ids))
        return tuple(found)

    def node_devices(self) -> Devices:
        """Network cards in PCI slots, and their interfaces."""
        return self._surveyor.devices()

    def _memory_kib(self) -> int | None:
        """The kernel's own total; the sum over NUMA cells in the node's info may lag behind it on young machines."""
        every_cell = libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS
        try:
            return int(self.call("asking for the memory", self._connection.getMemoryStats, every_cell)["total"])
        except (Unsupported, DriverFailed, KeyError):
            return None

    def _has_smbios(self) -> bool:
        try:
            return bool(self.call("reading SMBIOS", self._connection.getSysinfo))
        except (Unsupported, DriverFailed):
            return False

    def _nwfilter_uuid(self) -> str | None:
        """libvirt gives each filter it ships an id when it first starts on a machine, and keeps it."""
        try:
            found = self.call("finding a filter", self._connection.nwfilterLookupByName, "clean-traffic")
        except (NotFound, Unsupported, DriverFailed):
            return None
        return str(found.UUIDString())

    def _expanded_cpu(self, capabilities: str) -> str | None:
        """The host's processor with every feature that its model stands for."""
        start, end = capabilities.find("<cpu>"), capabilities.find("</cpu>")
        if self.is_test or start < 0 or end < 0:
            return None
        flags = libvirt.VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES
        try:
            return str(self.call("expanding", self._connection.baselineCPU, [capabilities[start : end + 6]], flags))
        except (DriverFailed, Unsupported):
            return None

    def domain_capabilities(self, architecture: str, domain_type: str) -> str | None:
        """What the emulator offers guests of that type; None from the test driver, which has no emulator."""
        if self.is_test:
            return None
        ask = self._connection.getDomainCapabilities
        return str(self.call("reading what guests may have", ask, None, architecture, None, domain_type, 0))

    def all_domains(self) -> list[BulkDomain]:
        """All domains, in one call."""
        # Without waiting for a guest that something else acts on, or that hangs: it would hold up each look for 30 s.
        flags = 0 if self.is_test else libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
        answers = self.call("listing guests", self._connection.getAllDomainStats, STATS, flags)
        return [
            BulkDomain(
                name=domain.name(),
                uuid=domain.UUIDString(),
                stats=self._complete(domain, stats),
                handle=Domain(self, domain),
            )
            for domain, stats in answers
        ]

    def _complete(self, domain: Any, stats: Stats) -> Stats:
        """The test driver's statistics hold the state alone; it lives in this process, so the rest is no round trip."""
        return completed(stats, domain.XMLDesc(), self._size_at) if self.is_test else stats

    def stats_of(self, domain: Any) -> Stats:
        """One domain's statistics."""
        ask = self._connection.domainListGetStats
        answers = self.call(f"reading {domain.name()}", ask, [domain], STATS)
        if not answers:
            raise NotFound(f"The guest {domain.name()} is gone.")
        return self._complete(domain, answers[0][1])

    def _size_at(self, path: str) -> int | None:
        try:
            return int(self._connection.storageVolLookupByPath(path).info()[1])
        except libvirt.libvirtError:
            return None

    def domains(self) -> list[Domain]:
        """Handles of all domains, in one call."""
        return [Domain(self, found) for found in self.call("listing guests", self._connection.listAllDomains)]

    def domain(self, uuid: str) -> Domain | None:
        return self._domain(self._connection.lookupByUUIDString, uuid)

    def domain_named(self, name: str) -> Domain | None:
        return self._domain(self._connection.lookupByName, name)

    def _domain(self, look_up: Callable[[str], Any], key: str) -> Domain | None:
        try:
            return Domain(self, self.call(f"looking for the guest {key}", look_up, key))
        except NotFound:
            return None

    def define(self, xml: str, name: str) -> Domain:
        """Define a domain. NameTaken when another one has its name."""
        return Domain(self, self.call(f"defining the guest {name}", self._connection.defineXML, xml))

    def pool(self, pool_id: str) -> Pool:
        """The storage pool. NotFound when there is none, DriverFailed when it is not active."""
        try:
            found = self.call("finding", self._connection.storagePoolLookupByUUIDString, pool_id)
        except (NotFound, DriverFailed) as error:
            raise NotFound(f"The host has no storage pool {pool_id}: {error}", pool_id=pool_id) from error
        if not self.call(f"asking for the storage pool {found.name()}", found.isActive):
            raise DriverFailed(f"The storage pool {found.name()} is not active: start it (virsh pool-start).")
        return Pool(self, found)

    def network(self, name: str) -> Network | None:
        try:
            found = self.call(f"looking for the network {name}", self._connection.networkLookupByName, name)
        except NotFound:
            return None
        return Network(self, found)

    def has_interface(self, name: str) -> bool:
        """Whether the server has it; True where this libvirt has no driver to tell, or its daemon does not run."""
        try:
            self.call(f"looking for the interface {name}", self._connection.interfaceLookupByName, name)
        except NotFound:
            return False
        except (Unsupported, DriverFailed):
            return True
        return True

    def capabilities(self) -> str:
        """As they are now: cores, memory and huge pages of the server are part of them."""
        return str(self.call("reading the capabilities", self._connection.getCapabilities))

    def on_event(self, listener: Callable[[str, str, int, int], None]) -> Callable[[], None]:
        """Call `listener(name, uuid, event, detail)` on libvirt's event thread at each lifecycle event. The function
        returned ends that, and is harmless when the connection is lost."""

        def heard(_connection: object, domain: Any, event: int, detail: int, _opaque: object) -> None:
            listener(domain.name(), domain.UUIDString(), event, detail)

        register = self._connection.domainEventRegisterAny
        number = self.call("watching", register, None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, heard, None)

        def stop() -> None:
            with suppress(libvirt.libvirtError):
                self._connection.domainEventDeregisterAny(number)

        return stop

    def on_change(self, listener: Callable[[str], None]) -> bool:
        """Call `listener(uuid)` on libvirt's event thread whenever a guest may have another definition, until the
        connection is closed. False when the host does not tell all of that, or nothing at all."""

        def heard(_connection: object, domain: Any, *_rest: object) -> None:
            listener(domain.UUIDString())

        if self.is_test:  # it has no such changes
            return False
        complete = True
        for event in DEFINITION_EVENTS:
            try:
                number = self.call("watching", self._connection.domainEventRegisterAny, None, event, heard, None)
                self._callbacks.append(number)
            except (Unsupported, DriverFailed) as error:
                log.info("event_not_told", event_id=event, reason=str(error))
                complete = False
        return complete

    def on_lost(self, listener: Callable[[], None]) -> None:
        """Call `listener` on the event thread when the connection ends by itself. Once; at most one listener."""
        if not self.is_test:
            register = self._connection.registerCloseCallback
            self.call("watching the connection", register, lambda _connection, _reason, _opaque: listener(), None)

    def close(self) -> None:
        for number in self._callbacks:  # each holds the connection open
            with suppress(libvirt.libvirtError):
                self._connection.domainEventDeregisterAny(number)
        self._callbacks.clear()
        with suppress(libvirt.libvirtError):
            if not self.is_test:
                self._connection.unregisterCloseCallback()
        with suppress(libvirt.libvirtError):
            self._connection.close()
