"""A deployment whose database, region, rack and libvirt host each have a network of their own, joined by wires."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from ipaddress import IPv4Network
from pathlib import Path

from attrs import define, field, frozen

from development import postgres
from tests.deployment.deployment import Deployment
from tests.deployment.processes import Processes
from tests.faults.network.namespaces import Namespace, namespaces
from tests.faults.network.wire import Wire

IDLE_TIMEOUT_S = 3.0  # of links between region and rack; the shortest that the settings permit
_PORT = 5432
_HBA = "local all all trust\nhost all all 10.77.0.0/16 trust\n"


class Link(StrEnum):
    DATABASE = "region–database"
    RACK = "region–rack"
    HOST = "rack–host"


@define(kw_only=True)
class WiredProcesses(Processes):
    """PostgreSQL is in `database`, the rack in the namespace of its prefix, the region where the tests run."""

    database: Namespace
    database_address: str
    database_settings: Mapping[str, str] = field(factory=dict)

    def start_postgres(self) -> None:
        hba = self.server_folder / "pg_hba.conf"
        hba.write_text(_HBA)
        hba.chmod(0o644)
        own = {"listen_addresses": self.database_address, "port": str(_PORT), "hba_file": str(hba)}
        with self.database.entered():
            self.dsn = postgres.start(
                self.server_folder, settings={**postgres.DURABLE, **own, **self.database_settings}
            )

    def region_environment(self) -> dict[str, str]:
        """The tests use the socket, which no fault of the network affects."""
        server = f"{self.database_address}:{_PORT}"
        return {"INNKEEPER_DATABASE": f"postgresql://{postgres.ROLE}@{server}/{postgres.DATABASE}"}


@frozen(kw_only=True)
class Site:
    deployment: Deployment
    wires: Mapping[Link, Wire]
    host: Namespace


@contextmanager
def wired_site(folder: Path, server_folder: Path) -> Iterator[Site]:
    """Nothing is started. This thread is in the region's namespace until the block ends, to reach its API."""
    with ExitStack() as stack:
        database, region, rack, host = stack.enter_context(namespaces("database", "region", "rack", "host"))
        wires = {
            Link.DATABASE: Wire.between(region, database, IPv4Network("10.77.1.0/30"), delay_s=0.02),
            Link.RACK: Wire.between(rack, region, IPv4Network("10.77.2.0/30")),
            Link.HOST: Wire.between(rack, host, IPv4Network("10.77.3.0/30")),
        }
        stack.enter_context(region.entered())
        processes = WiredProcesses(
            folder=folder, server_folder=server_folder, rack_prefix=rack.entering, database=database,
            database_address=str(wires[Link.DATABASE].server.address),
            settings={
                "rpc_host": str(wires[Link.RACK].server.address), "link_idle_timeout_s": f"{IDLE_TIMEOUT_S:g}",
            },
        )  # fmt: skip
        stack.callback(processes.kill_all)
        yield Site(deployment=Deployment(runner=processes), wires=wires, host=host)
