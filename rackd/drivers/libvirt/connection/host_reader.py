"""Reads a host's own properties: capacity, capabilities, storage pools and networks."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from typing import Any

import libvirt
import structlog
from attrs import frozen

from common.errors import DriverFailed, NotFound, Unsupported
from rackd.drivers.libvirt.connection.interface_inventory import NO_DEVICES, InterfaceInventory, NodeDevices
from rackd.drivers.libvirt.connection.named_object import Connection

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


@frozen(kw_only=True)
class HostResponses:
    """libvirt's unparsed responses about one host."""

    uri: str
    hostname: str
    lib_version: int
    node_info: tuple[str, int, int, int, int, int, int, int]
    memory_kib: int | None
    capabilities: str
    has_smbios: bool
    nwfilter_uuid: str | None
    expanded_cpu: str | None
    pools: tuple[str, ...]  # active ones
    networks: tuple[tuple[str, bool], ...]  # XML, and whether it is active
    interfaces: tuple[tuple[str, bool], ...] = ()  # XML, and whether it is up
    devices: NodeDevices = NO_DEVICES
    inactive_pools: tuple[str, ...] = ()
    online_cpus: frozenset[int] | None = None  # None: unknown


@frozen(kw_only=True)
class NodeStats:
    """The node's own statistics: CPU times in ns, memory in KiB. Empty if this libvirt has none."""

    cores: int
    cpu: Mapping[str, int]
    memory: Mapping[str, int]


class HostReader:
    """Belongs to one connection. Every method may raise what `Connection.call` raises."""

    def __init__(self, client: Connection, connection: Any) -> None:
        self._client, self._connection = client, connection
        self._interfaces = InterfaceInventory(client, connection)

    def host(self) -> HostResponses:
        call, connection = self._client.call, self._connection
        capabilities = self.capabilities()
        return HostResponses(
            uri=connection.getURI().partition("?")[0],
            hostname=call("read the host name", connection.getHostname),
            lib_version=self.lib_version(),
            node_info=tuple(call("read the capacity", connection.getInfo)),
            memory_kib=self._memory_kib(),
            capabilities=capabilities,
            has_smbios=self._has_smbios(),
            nwfilter_uuid=self._nwfilter_uuid(),
            expanded_cpu=self._expanded_cpu(capabilities),
            pools=self.pools(),
            networks=self.networks(),
            interfaces=self._interfaces.interfaces(),
            devices=self.node_devices(),
            inactive_pools=self.inactive_pools(),
            online_cpus=self.online_cpus(),
        )

    def lib_version(self) -> int:
        return int(self._client.call("read the version", self._connection.getLibVersion))

    def capabilities(self) -> str:
        """Returns the current capabilities XML, with the server's cores, memory and huge pages."""
        return str(self._client.call("read the capabilities", self._connection.getCapabilities))

    def online_cpus(self) -> frozenset[int] | None:
        """Returns the ids of the CPUs that are online now; None if this libvirt does not know them.

        The capabilities can list a CPU that was taken offline after libvirt's daemon started: it asks the kernel once
        which CPUs a NUMA node has. The map of the test driver does not belong to its capabilities.
        """
        if self._client.is_test:
            return None
        try:
            _, states, _ = self._client.call("read which CPUs are online", self._connection.getCPUMap)
        except (Unsupported, DriverFailed):
            return None
        return frozenset(cpu for cpu, is_online in enumerate(states) if is_online)

    def domain_capabilities(self, architecture: str, domain_type: str) -> str | None:
        """Returns the emulator's domainCapabilities XML; None from the test driver, which has no emulator."""
        if self._client.is_test:
            return None
        read = self._connection.getDomainCapabilities
        return str(self._client.call("read the domain capabilities", read, None, architecture, None, domain_type, 0))

    def pools(self) -> tuple[str, ...]:
        """Returns the XML of the active storage pools."""
        return self._definitions(self._pools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE))

    def inactive_pools(self) -> tuple[str, ...]:
        """Returns the XML of the other storage pools, which has no sizes."""
        return self._definitions(self._pools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_INACTIVE))

    def _definitions(self, pools: Iterable[Any]) -> tuple[str, ...]:
        found = []
        for pool in pools:
            with suppress(NotFound):  # removed since it was listed
                found.append(self._client.call("read a storage pool", pool.XMLDesc))
        return tuple(found)

    def _pools(self, which: int) -> list[Any]:
        return list(self._client.call("list storage pools", self._connection.listAllStoragePools, which))

    def volume_names(self, pool_ids: Container[str]) -> Mapping[str, tuple[str, ...]]:
        """Returns the volume names of these pools by pool id, in one call per pool. Omits pools that fail."""
        found = {}
        for pool in self._pools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE):
            if pool.UUIDString() in pool_ids:
                try:
                    volumes = self._client.call(f"list the volumes of {pool.name()}", pool.listAllVolumes)
                except (NotFound, DriverFailed, Unsupported) as error:
                    log.info("volumes_not_listed", pool=pool.name(), reason=str(error))
                    continue
                found[pool.UUIDString()] = tuple(volume.name() for volume in volumes)
        return found

    def networks(self) -> tuple[tuple[str, bool], ...]:
        """Returns the XML of each network, and whether it is active."""
        list_all = self._connection.listAllNetworks
        networks = self._client.call("list networks", list_all)
        active = self._client.call("list networks", list_all, libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE)
        active_ids = {network.UUIDString() for network in active}
        found = []
        for network in networks:
            with suppress(NotFound):
                xml = self._client.call("read a network", network.XMLDesc)
                found.append((xml, network.UUIDString() in active_ids))
        return tuple(found)

    def node_devices(self) -> NodeDevices:
        return self._interfaces.devices()

    def has_interface(self, name: str) -> bool:
        """Also returns True if this libvirt has no interface driver, or its daemon does not run."""
        try:
            self._client.call(f"find the interface {name}", self._connection.interfaceLookupByName, name)
        except NotFound:
            return False
        except (Unsupported, DriverFailed):
            return True
        return True

    def node_stats(self) -> NodeStats:
        """Returns what the node has used since it started, in three calls."""
        cores = int(self._client.call("read the capacity", self._connection.getInfo)[2])
        return NodeStats(cores=cores, cpu=self._cpu_stats(), memory=self._memory_stats())

    def _cpu_stats(self) -> Mapping[str, int]:
        all_cpus = libvirt.VIR_NODE_CPU_STATS_ALL_CPUS
        try:
            return dict(self._client.call("read the CPU times", self._connection.getCPUStats, all_cpus, 0))
        except (Unsupported, DriverFailed):
            return {}

    def _memory_stats(self) -> Mapping[str, int]:
        all_cells = libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS
        try:
            return dict(self._client.call("read the memory", self._connection.getMemoryStats, all_cells))
        except (Unsupported, DriverFailed):
            return {}

    def _memory_kib(self) -> int | None:
        """Returns the kernel's total. The sum of the NUMA cells in the node info can lag behind it after boot."""
        total = self._memory_stats().get("total")
        return None if total is None else int(total)

    def _has_smbios(self) -> bool:
        try:
            return bool(self._client.call("read SMBIOS", self._connection.getSysinfo))
        except (Unsupported, DriverFailed):
            return False

    def _nwfilter_uuid(self) -> str | None:
        """Returns a UUID that libvirt generates at its first start on a machine and stores."""
        try:
            found = self._client.call("find a filter", self._connection.nwfilterLookupByName, "clean-traffic")
        except (NotFound, Unsupported, DriverFailed):
            return None
        return str(found.UUIDString())

    def _expanded_cpu(self, capabilities: str) -> str | None:
        """Returns the XML of the host's CPU with all features that its model implies."""
        start, end = capabilities.find("<cpu>"), capabilities.find("</cpu>")
        if self._client.is_test or start < 0 or end < 0:
            return None
        flags = libvirt.VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES
        cpu = capabilities[start : end + len("</cpu>")]
        try:
            return str(self._client.call("expand the CPU model", self._connection.baselineCPU, [cpu], flags))
        except (DriverFailed, Unsupported):
            return None
