"""The metrics of one rack process for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from common.process.call_metrics import CallMetrics
from common.process.loop_lag import LoopLag
from common.process.metric_families import Family, Sample, metrics_of
from common.process.metrics_registry import daemon_registry
from common.rpc.commands.host_method import CallClass
from common.trust.certificates import Role, load_certificate
from common.values import DriverType
from rackd.driver_calls import DriverCallMetrics
from rackd.executor import Executor
from rackd.region_link import RegionLinks

_LINKS = Family(name="rpc_links", text="Open links of this rack, by role of the other end.", labels=("role",))
_REGIONS = Family(name="rack_regions", text="Regions that this rack knows and connects to.")
_EXPIRY = Family(
    name="certificate_expiry_timestamp_seconds",
    text="Time at which the certificate of this rack expires.",
    labels=("purpose",),
)
_HOSTS = Family(
    name="driver_hosts_open", text="Hosts to which this rack has an open connection, by driver.", labels=("driver",)
)
_HUNG_HOSTS = Family(
    name="driver_hosts_hung", text="Hosts whose calls fail at once, because earlier ones have not returned."
)
_RUNNING = Family(
    name="driver_calls_running", text="Calls to hosts that run in a thread, by class.", labels=("call_class",)
)
_WAITING = Family(
    name="driver_calls_waiting", text="Calls to hosts that wait for an earlier one, by class.", labels=("call_class",)
)
_ABANDONED = Family(
    name="driver_calls_abandoned", text="Calls that missed their deadline and whose threads have not returned."
)
_LIMIT = Family(name="driver_calls_limit", text="Calls to hosts that may run at once (the setting max_calls).")
STATE_FAMILIES = (_LINKS, _REGIONS, _EXPIRY, _HOSTS, _HUNG_HOSTS, _RUNNING, _WAITING, _ABANDONED, _LIMIT)


class RackMetrics:
    """All instruments, in a registry of this rack: tests run several racks in one process."""

    def __init__(self) -> None:
        self.registry = daemon_registry("rackd")
        self.calls = CallMetrics(self.registry)
        self.driver_calls = DriverCallMetrics(self.registry)
        self._lag = LoopLag(self.registry)

    def add_state(self, executor: Executor, links: RegionLinks, drivers: Iterable[DriverType]) -> None:
        """From now on a scrape shows what these know."""
        _RackState(self.registry, executor, links, drivers)

    def start(self) -> None:
        self._lag.start()

    async def prepare(self) -> None:
        """Does nothing: a rack reads nothing for a scrape."""

    async def stop(self) -> None:
        """Idempotent."""
        await self._lag.stop()


class _RackState(Collector):
    def __init__(
        self, registry: CollectorRegistry, executor: Executor, links: RegionLinks, drivers: Iterable[DriverType]
    ) -> None:
        self._executor = executor
        self._links = links
        self._drivers = tuple(drivers)
        registry.register(self)

    def describe(self) -> Iterable[Metric]:
        """Returns nothing: the registry would otherwise collect at registration to learn the names."""
        return ()

    def collect(self) -> Iterable[Metric]:
        identity, load = self._links.identity, self._executor.load()
        expires_at = load_certificate(identity.certificate_pem).not_valid_after_utc
        return metrics_of(
            STATE_FAMILIES,
            [
                Sample(_LINKS, self._links.connected, (Role.REGION.value,)),
                Sample(_REGIONS, len(identity.addresses)),
                Sample(_EXPIRY, expires_at.timestamp(), ("rack",)),
                *(Sample(_HOSTS, load.open_hosts[driver], (driver.value,)) for driver in self._drivers),
                Sample(_HUNG_HOSTS, load.hung_hosts),
                *(Sample(_RUNNING, load.running[one], (one.value,)) for one in CallClass),
                *(Sample(_WAITING, load.waiting[one], (one.value,)) for one in CallClass),
                Sample(_ABANDONED, load.abandoned),
                Sample(_LIMIT, load.limit),
            ],
        )
