"""The settings of a region."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from common.errors import BadSettings
from common.logging import LEVELS
from common.rpc.session import IDLE_TIMEOUT_S
from common.settings import setting

CONFIG_FILE = Path("/etc/innkeeper/regiond.toml")


@frozen(kw_only=True)
class RegionSettings:
    """The settings of regiond.toml."""

    database: str | None = setting(
        None, "The PostgreSQL database (15 or newer): postgresql://user:password@host/name.", secret=True
    )
    state: Path = setting(
        Path("/var/lib/innkeeper-regiond"),
        "The folder of what is not in the database: the authority, the master key, the first API key.",
    )
    http_host: str = setting("127.0.0.1", "The address on which the API listens.")
    http_port: int = setting(5240, "The port on which the API listens.", at_least=0, at_most=65535)
    http_connections: int = setting(
        2000, "How many connections to the API may be open; the oldest idle one ends for a new one.", at_least=10
    )
    http_connections_per_address: int = setting(
        200, "How many of them one address may have. Does not hold for loopback, where a proxy may run.", at_least=2
    )
    public_url: str | None = setting(
        None,
        "The URL of the API as users and servers reach it, used in instructions. Default: http://http_host:http_port.",
    )
    rpc_host: str = setting("127.0.0.1", "The address on which racks and RPC clients connect; empty for all.")
    rpc_port: int = setting(5250, "The port on which racks and RPC clients connect.", at_least=0, at_most=65535)
    rpc_address: str | None = setting(
        None, "The host:port at which racks reach this region, used in join tokens. Default: rpc_host:rpc_port."
    )
    simulated_hosts: Path | None = setting(
        None, "The folder of the simulated hosts' files; racks need the same setting. Without it there are none."
    )
    refresh_every_s: float = setting(
        300.0, "Seconds between two refreshes of each host, varied by up to a quarter.", at_least=5, at_most=86400
    )
    power_off_grace_s: float = setting(
        30.0, "Seconds that a guest gets to shut down before it is powered off.", at_least=1, at_most=600
    )
    placement_strategy: str = setting(
        "spread",
        "The placement strategy: spread prefers the host with the most free capacity, pack with the least.",
        choices=("spread", "pack"),
    )
    link_idle_timeout_s: float = setting(
        IDLE_TIMEOUT_S, "Seconds without data after which the region closes a link.", at_least=3, at_most=600
    )
    reconciler_auto_repair: bool = setting(
        True, "Whether discrepancies with the repair policy automatic are repaired, not only recorded."
    )
    max_cluster_members: int = setting(
        64, "How many members of an LXD cluster become hosts; others are a problem of the cluster's hosts.",
        at_least=1, at_most=1000,
    )  # fmt: skip
    keep_operations_days: int = setting(
        90, "How long an operation and its log stay after its end.", at_least=1, at_most=3650
    )
    keep_events_days: int = setting(90, "How long events stay.", at_least=1, at_most=3650)
    keep_idempotency_keys_days: int = setting(
        7,
        "How long a request that is repeated with its idempotency key gets the first answer.",
        at_least=1,
        at_most=365,
    )
    log_level: str = setting("info", "The lowest level that is logged.", choices=LEVELS)

    def check(self) -> None:
        """Checks settings that depend on each other. Raises BadSettings."""
        if self.rpc_address is None and self.rpc_host in ("", "0.0.0.0", "::"):  # noqa: S104  # compared, not bound
            raise BadSettings(
                f"rpc_host {self.rpc_host!r} means all addresses: set rpc_address to the host:port at which racks "
                "reach this region."
            )

    @property
    def required_database(self) -> str:
        """Raises BadSettings if there is none."""
        if self.database is None:
            raise BadSettings("The setting 'database' is missing: a region needs a PostgreSQL database.")
        return self.database
