"""Completes the statistics of guests that are off with their disks defined by storage pool and volume.

libvirt reports path and sizes of such a disk only while the guest runs, because it looks for the volume when it starts
the guest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import structlog
from attrs import evolve

from common.errors import Busy, DriverFailed, NotFound, Unsupported
from rackd.drivers.libvirt.connection.client import BulkDomain, Client
from rackd.drivers.libvirt.connection.storage_objects import VolumeFacts
from rackd.drivers.libvirt.connection.test_driver import DomainStats
from rackd.drivers.libvirt.inventory.domain_cache import DomainConfigs
from rackd.drivers.libvirt.inventory.pool_paths import PoolPaths

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

PoolVolume = tuple[str, str]


class VolumeDisks:
    """The volumes of one discovery run, which finds each once: in a call for each such volume and storage pool."""

    def __init__(self, client: Client, paths: PoolPaths) -> None:
        self._client, self._paths = client, paths
        self._found: dict[PoolVolume, VolumeFacts | None] = {}

    def completed(self, domains: Iterable[BulkDomain], cached: DomainConfigs) -> Iterable[BulkDomain]:
        """Yields the domains that still exist, with the statistics of their volumes."""
        for domain in domains:
            if domain.uuid not in cached.deleted:
                config = cached.configs.get(domain.uuid)
                yield evolve(domain, stats=self.stats(domain.stats, {} if config is None else config.pool_volumes))

    def stats(self, stats: DomainStats, volumes: Mapping[str, PoolVolume]) -> DomainStats:
        """`volumes` are those of the domain's disks, by device name."""
        if not volumes:
            return stats
        more: dict[str, int | str | bool] = {}
        for index in range(int(stats.get("block.count", 0))):
            at = f"block.{index}."
            volume = volumes.get(str(stats.get(f"{at}name")))
            if volume is not None and f"{at}path" not in stats:
                more |= {f"{at}{key}": value for key, value in self._values(volume).items()}
        return {**stats, **more}

    def _values(self, volume: PoolVolume) -> Mapping[str, int | str]:
        """Returns no sizes of a volume that does not exist or whose pool is inactive, and nothing without its pool."""
        if volume not in self._found:
            self._found[volume] = self._find(*volume)
        found, path = self._found[volume], self._paths.path_in(*volume)
        if found is not None:
            return {"path": found.path, "capacity": found.capacity_bytes, "allocation": found.allocation_bytes}
        return {} if path is None else {"path": path}

    def _find(self, pool: str, volume: str) -> VolumeFacts | None:
        try:
            return self._client.volume_facts(pool, volume)
        except (NotFound, DriverFailed, Unsupported, Busy) as error:
            log.info("volume_not_read", pool=pool, volume=volume, reason=str(error))
            return None
