"""The settings of a region."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from common.errors import BadSettings
from common.logging import LEVELS
from common.rpc.session import SILENCE_S
from common.settings import setting

CONFIG_FILE = Path("/etc/innkeeper/regiond.toml")


@frozen(kw_only=True)
class RegionSettings:
    database: str | None = setting(
        None, "The PostgreSQL database: postgresql://user:password@host/name. 15 or newer.", secret=True
    )
    state: Path = setting(
        Path("/var/lib/innkeeper-regiond"),
        "The folder of what is not in the database: the authority's key, the key of the secrets, the first API key.",
    )
    http_host: str = setting("127.0.0.1", "The address on which the API is served.")
    http_port: int = setting(5240, "The port on which the API is served.", at_least=0, at_most=65535)
    public_url: str | None = setting(
        None, "Where people and servers reach the API, as instructions say it. Default: http://http_host:http_port."
    )
    rpc_host: str = setting("127.0.0.1", "The address on which racks and RPC clients are awaited; empty for all.")
    rpc_port: int = setting(5250, "The port on which racks and RPC clients are awaited.", at_least=0, at_most=65535)
    rpc_address: str | None = setting(
        None, "What join tokens say: the host:port under which racks reach this region. Default: rpc_host:rpc_port."
    )
    simulated_hosts: Path | None = setting(
        None, "Where simulated hosts live. Set, such hosts may be added; the racks need the same setting."
    )
    refresh_every_s: float = setting(
        300.0, "Seconds between two looks at each host, give or take a quarter.", at_least=5, at_most=86400
    )
    power_off_grace_s: float = setting(
        30.0, "Seconds after which a guest that was asked to shut down is switched off.", at_least=1, at_most=600
    )
    placement_strategy: str = setting(
        "spread",
        "How machines are placed among hosts: spread puts them where most room is left, pack where least is.",
        choices=("spread", "pack"),
    )
    link_silence_s: float = setting(
        SILENCE_S, "Seconds without a word after which the other end of a link counts as gone.", at_least=3, at_most=600
    )
    reconciler_mends: bool = setting(
        True, "Whether differences between ledger and hosts that are ours to mend are mended, and not only told."
    )
    log_level: str = setting("info", "How much is logged.", choices=LEVELS)

    def check(self) -> None:
        """What no single key can say. Raises BadSettings."""
        if self.rpc_address is None and self.rpc_host in ("", "0.0.0.0", "::"):  # noqa: S104  # compared, not bound
            raise BadSettings(
                f"rpc_host is {self.rpc_host!r}, all addresses: set rpc_address to the host:port at which racks reach "
                "this region."
            )

    @property
    def required_database(self) -> str:
        """Raises BadSettings when none is set."""
        if self.database is None:
            raise BadSettings("The setting 'database' is not set: a region keeps its state in PostgreSQL.")
        return self.database
