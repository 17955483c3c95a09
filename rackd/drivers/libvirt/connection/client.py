"""An open libvirt connection: typed methods, a count of its calls, and Innkeeper's errors."""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterable, Mapping
from contextlib import suppress
from enum import Enum
from typing import Any, Protocol, TypeVar

import libvirt
import structlog
from attrs import frozen

from common.errors import DriverFailed, NotFound, Unsupported
from rackd.drivers.libvirt.connection.errors import ensure_event_loop, translate, translate_open
from rackd.drivers.libvirt.connection.host_reader import HostReader, HostResponses, NodeStats
from rackd.drivers.libvirt.connection.interface_inventory import NodeDevices
from rackd.drivers.libvirt.connection.objects import Domain, Network
from rackd.drivers.libvirt.connection.storage_objects import Pool, Volume, VolumeFacts
from rackd.drivers.libvirt.connection.test_driver import DomainStats, completed, completed_usage
from rackd.drivers.libvirt.kept_xml import restored

T = TypeVar("T")

KEEPALIVE_EVERY_S, KEEPALIVE_MISSES = 3, 2  # calls to a daemon that stops responding fail after 9 s
STATS = (
    libvirt.VIR_DOMAIN_STATS_STATE
    | libvirt.VIR_DOMAIN_STATS_BALLOON
    | libvirt.VIR_DOMAIN_STATS_VCPU
    | libvirt.VIR_DOMAIN_STATS_BLOCK
)
USAGE_STATS = STATS | libvirt.VIR_DOMAIN_STATS_CPU_TOTAL | libvirt.VIR_DOMAIN_STATS_INTERFACE
# Events of possible configuration changes. `virsh … --config` on a guest that is off sends none, except for metadata.
CONFIG_EVENTS = (
    libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,  # defined, started, stopped: then another configuration is effective
    libvirt.VIR_DOMAIN_EVENT_ID_TUNABLE,  # CPU pins of a running guest
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED,
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
    libvirt.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE,
    libvirt.VIR_DOMAIN_EVENT_ID_MEMORY_DEVICE_SIZE_CHANGE,
    libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE,
)

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


class Readable(Protocol):
    def xml(self) -> str: ...


@frozen(kw_only=True)
class BulkDomain:
    """One domain of a bulk listing."""

    name: str
    uuid: str
    stats: DomainStats
    handle: Readable
    autostart: bool = False


class DomainTrait(Enum):
    """A property by which libvirt lists domains."""

    TRANSIENT = libvirt.VIR_CONNECT_LIST_DOMAINS_TRANSIENT
    SAVED_MEMORY = libvirt.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE
    SNAPSHOTS = libvirt.VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT
    CHECKPOINTS = libvirt.VIR_CONNECT_LIST_DOMAINS_HAS_CHECKPOINT
    AUTOSTART = libvirt.VIR_CONNECT_LIST_DOMAINS_AUTOSTART


class Client:
    """An open connection. Every method may raise HostUnreachable, NotTrusted, Busy or DriverFailed besides its own."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection  # the library's own object
        self.is_test = connection.getType() == "TEST"
        self.is_local = connection.getURI().startswith("qemu:///")  # the daemon runs on this computer
        self.calls = 0  # round trips to the hypervisor so far
        self._host = HostReader(self, connection)
        self._callbacks: list[int] = []
        # The threads of a screen take turns: see own_connection.py. libvirt's event thread makes no calls.
        self._turn = threading.RLock()

    @classmethod
    def open(cls, uri: str) -> Client:
        """Connects; blocks as long as the host does. Raises HostUnreachable, NotTrusted or Unsupported."""
        ensure_event_loop()
        try:
            connection = libvirt.open(uri)
        except libvirt.libvirtError as error:
            raise translate_open(error, uri.partition("?")[0]) from error
        client = cls(connection)
        if not client.is_test:
            client.call("set the keepalive interval", connection.setKeepAlive, KEEPALIVE_EVERY_S, KEEPALIVE_MISSES)
        return client

    def call(self, what: str, function: Callable[..., T], *arguments: object) -> T:
        """Counts and makes one libvirt call; `what` (an imperative phrase) starts the message of its error."""
        with self._turn:
            self.calls += 1
            try:
                return function(*arguments)
            except libvirt.libvirtError as error:
                raise translate(error, what, connected=self.alive()) from error

    def alive(self) -> bool:
        """Makes no round trip."""
        try:
            return bool(self.connection.isAlive())
        except libvirt.libvirtError:
            return False

    def lib_version(self) -> int:
        return self._host.lib_version()

    def host(self) -> HostResponses:
        return self._host.host()

    def capabilities(self) -> str:
        return self._host.capabilities()

    def online_cpus(self) -> frozenset[int] | None:
        return self._host.online_cpus()

    def domain_capabilities(self, architecture: str, domain_type: str) -> str | None:
        return self._host.domain_capabilities(architecture, domain_type)

    def pools(self) -> tuple[str, ...]:
        return self._host.pools()

    def inactive_pools(self) -> tuple[str, ...]:
        return self._host.inactive_pools()

    def volume_names(self, pool_ids: Container[str]) -> Mapping[str, tuple[str, ...]]:
        return self._host.volume_names(pool_ids)

    def networks(self) -> tuple[tuple[str, bool], ...]:
        return self._host.networks()

    def node_devices(self) -> NodeDevices:
        return self._host.node_devices()

    def has_interface(self, name: str) -> bool:
        return self._host.has_interface(name)

    def all_domains(self) -> list[BulkDomain]:
        """Returns all domains with their statistics, in two calls."""
        # NOWAIT: a domain that hangs or has a job would delay each discovery run by 30 s.
        flags = 0 if self.is_test else libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
        listed = self.call("list guests", self.connection.getAllDomainStats, STATS, flags)
        autostarted = self.domains_that(DomainTrait.AUTOSTART)
        return [
            BulkDomain(
                name=domain.name(),
                uuid=domain.UUIDString(),
                autostart=domain.UUIDString() in autostarted,
                stats=self._complete(domain, stats),
                handle=Domain(self, domain),
            )
            for domain, stats in listed
        ]

    def active_usage(self) -> list[tuple[str, DomainStats]]:
        """Returns names and counters of the active domains, in one call."""
        if self.is_test:
            listed = self.call("list guests", self.connection.getAllDomainStats, USAGE_STATS, 0)
            return [
                (domain.name(), completed_usage(self._complete(domain, stats), domain))
                for domain, stats in listed
                if domain.isActive()
            ]
        flags = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT | libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE
        listed = self.call("read the usage of guests", self.connection.getAllDomainStats, USAGE_STATS, flags)
        return [(domain.name(), stats) for domain, stats in listed]

    def node_stats(self) -> NodeStats:
        return self._host.node_stats()

    def domains_that(self, have: DomainTrait) -> frozenset[str]:
        """Returns the UUIDs of these domains, in one call."""
        listed = self.call("list guests", self.connection.listAllDomains, have.value)
        return frozenset(domain.UUIDString() for domain in listed)

    def _complete(self, domain: Any, stats: DomainStats) -> DomainStats:
        """The test driver's statistics have only the state. It lives in this process, so the rest costs no call."""
        return completed(stats, domain.XMLDesc(), self._size_at) if self.is_test else stats

    def stats_of(self, domain: Any) -> DomainStats:
        read = self.connection.domainListGetStats
        found = self.call(f"read the guest {domain.name()}", read, [domain], STATS)
        if not found:
            raise NotFound(f"The guest {domain.name()} no longer exists.")
        return self._complete(domain, found[0][1])

    def _size_at(self, path: str) -> int | None:
        try:
            return int(self.connection.storageVolLookupByPath(path).info()[1])
        except libvirt.libvirtError:
            return None

    def domains(self) -> list[Domain]:
        """Returns all domains without statistics, in one call."""
        return [Domain(self, found) for found in self.call("list guests", self.connection.listAllDomains)]

    def saved_domains(self) -> dict[str, Domain]:
        """Returns the domains whose memory was saved with virsh managedsave, by UUID, in one call."""
        flag = libvirt.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE
        listed = self.call("list guests with saved memory", self.connection.listAllDomains, flag)
        return {one.UUIDString(): Domain(self, one) for one in listed}

    def domain(self, uuid: str) -> Domain | None:
        return self._domain(self.connection.lookupByUUIDString, uuid)

    def domain_named(self, name: str) -> Domain | None:
        return self._domain(self.connection.lookupByName, name)

    def _domain(self, find: Callable[[str], Any], key: str) -> Domain | None:
        try:
            return Domain(self, self.call(f"find the guest {key}", find, key))
        except NotFound:
            return None

    def define(self, xml: str, name: str) -> Domain:
        """Raises NameTaken if another domain has the name."""
        return Domain(self, self.call(f"define the guest {name}", self.connection.defineXML, restored(xml)))

    def pool(self, pool_id: str) -> Pool:
        """Raises NotFound, or DriverFailed if the pool is not active."""
        try:
            found = self.call("find the storage pool", self.connection.storagePoolLookupByUUIDString, pool_id)
        except (NotFound, DriverFailed) as error:
            raise NotFound(f"The host has no storage pool {pool_id}: {error}", pool_id=pool_id) from error
        if not self.call(f"read the state of the storage pool {found.name()}", found.isActive):
            raise DriverFailed(
                f"The storage pool {found.name()} is not active. On that host: virsh pool-start {found.name()}"
            )
        return Pool(self, found)

    def active_pools(self) -> list[Pool]:
        """Returns the active storage pools, of any type, in one call."""
        active = libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE
        return [Pool(self, one) for one in self.call("list storage pools", self.connection.listAllStoragePools, active)]

    def volume_facts(self, pool_name: str, name: str) -> VolumeFacts | None:
        """Returns None without the volume. Raises NotFound without the pool, DriverFailed if it is inactive."""
        find = self.connection.storagePoolLookupByName
        volume = Pool(self, self.call(f"find the storage pool {pool_name}", find, pool_name)).volume(name)
        return None if volume is None else volume.facts()

    def volume_at(self, path: str) -> Volume | None:
        """Returns the volume with this path in any active storage pool."""
        try:
            return Volume(self, self.call(f"find the volume {path}", self.connection.storageVolLookupByPath, path))
        except NotFound:
            return None

    def network(self, name: str) -> Network | None:
        try:
            found = self.call(f"find the network {name}", self.connection.networkLookupByName, name)
        except NotFound:
            return None
        return Network(self, found)

    def active_networks(self, names: Iterable[str]) -> list[Network]:
        """Returns those of these networks that are active, in one call."""
        active = libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE
        wanted = set(names)
        listed = self.call("list networks", self.connection.listAllNetworks, active)
        return [Network(self, one) for one in listed if one.name() in wanted]

    def on_event(self, listener: Callable[[str, str, int, int], None]) -> Callable[[], None]:
        """Calls `listener(name, uuid, event, detail)` on libvirt's event thread at each lifecycle event.

        The returned function unregisters it; it is also safe after the connection was lost.
        """

        def callback(_connection: object, domain: Any, event: int, detail: int, _opaque: object) -> None:
            listener(domain.name(), domain.UUIDString(), event, detail)

        register = self.connection.domainEventRegisterAny
        number = self.call("register for events", register, None, CONFIG_EVENTS[0], callback, None)
        self._callbacks.append(number)

        def stop() -> None:
            with suppress(libvirt.libvirtError):
                self.connection.domainEventDeregisterAny(number)

        return stop

    def on_change(self, listener: Callable[[str], None]) -> bool:
        """Calls `listener(uuid)` on libvirt's event thread when a domain's configuration may have changed.

        Ends when the connection is closed. Returns False if the host does not send all of these events.
        """

        def callback(_connection: object, domain: Any, *_rest: object) -> None:
            listener(domain.UUIDString())

        if self.is_test:  # it sends no such events
            return False
        complete = True
        register = self.connection.domainEventRegisterAny
        for event in CONFIG_EVENTS:
            try:
                self._callbacks.append(self.call("register for events", register, None, event, callback, None))
            except (Unsupported, DriverFailed) as error:
                log.info("event_not_supported", event_id=event, reason=str(error))
                complete = False
        return complete

    def on_lost(self, listener: Callable[[], None]) -> None:
        """Calls `listener` on the event thread once, if the connection is lost. A connection has one listener."""
        if not self.is_test:
            register = self.connection.registerCloseCallback
            self.call("register for the close event", register, lambda _connection, _reason, _opaque: listener(), None)

    def close(self) -> None:
        for number in self._callbacks:  # each holds a reference to the connection
            with suppress(libvirt.libvirtError):
                self.connection.domainEventDeregisterAny(number)
        self._callbacks.clear()
        with suppress(libvirt.libvirtError):
            if not self.is_test:
                self.connection.unregisterCloseCallback()
        with suppress(libvirt.libvirtError):
            self.connection.close()
