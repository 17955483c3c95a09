"""Shows what the region knows without a query: connections, links, and quotas."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from common.process.metric_families import Family, Sample, metrics_of
from common.trust.certificates import Role
from regiond.db.pool import Database

_CONNECTIONS = Family(
    name="database_connections", text="Connections of the pool, by state: idle or used.", labels=("state",)
)
_LIMIT = Family(name="database_connections_limit", text="Connections that the pool may have.")
_WAITERS = Family(name="database_connection_waiters", text="Tasks that wait for a connection.")
_LINKS = Family(name="rpc_links", text="Open links to this region, by role of the other end.", labels=("role",))
_QUOTAS = Family(
    name="quotas_nearly_used",
    text="Quotas of which something is used to at least the percentage of the setting nearly_full_percent.",
)


class ProcessState(Collector):
    """`roles_of_links` returns the role of the peer of each open link, `quotas_nearly_used` a number."""

    def __init__(self, registry: CollectorRegistry, database: Database) -> None:
        self._database = database
        self.roles_of_links: Callable[[], Iterable[Role]] = tuple
        self.quotas_nearly_used: Callable[[], int] = int
        registry.register(self)

    def describe(self) -> Iterable[Metric]:
        """Returns nothing: the registry would otherwise collect at registration to learn the names."""
        return ()

    def collect(self) -> Iterable[Metric]:
        pool, roles = self._database.pool_use, Counter(self.roles_of_links())
        return metrics_of(
            (_CONNECTIONS, _LIMIT, _WAITERS, _LINKS, _QUOTAS),
            [
                Sample(_CONNECTIONS, pool.idle, ("idle",)),
                Sample(_CONNECTIONS, pool.size - pool.idle, ("used",)),
                Sample(_LIMIT, pool.limit),
                Sample(_WAITERS, pool.waiting),
                Sample(_QUOTAS, self.quotas_nearly_used()),
                *(Sample(_LINKS, roles[role], (role.value,)) for role in (Role.RACK, Role.CLIENT)),
            ],
        )
