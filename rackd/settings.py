"""The settings of a rack."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from common.hosts.usage import EVERY_S
from common.process.logging import LEVELS
from common.process.plain_http import check_header_is_private
from common.process.settings import setting
from common.rpc.session import IDLE_TIMEOUT_S, LONGEST_IDLE_TIMEOUT_S, SHORTEST_IDLE_TIMEOUT_S
from common.tracing.export import CA_DOC, ENDPOINT_DOC, HEADERS_DOC, RATIO_DOC, TraceOptions

LOGGED_AS = {"program": "rackd"}  # in each line of the log
CONFIG_FILE = Path("/etc/innkeeper/rackd.toml")


@frozen(kw_only=True)
class RackSettings:
    """The settings of rackd.toml."""

    state: Path = setting(
        Path("/var/lib/innkeeper-rackd"),
        "The folder in which the rack stores its identity.",
    )
    simulated_hosts: Path | None = setting(
        None, "The folder of the simulated hosts' files. Without it, this rack has no simulated hosts."
    )
    link_idle_timeout_s: float = setting(
        IDLE_TIMEOUT_S,
        "Seconds without data after which the rack closes a link.",
        at_least=SHORTEST_IDLE_TIMEOUT_S,
        at_most=LONGEST_IDLE_TIMEOUT_S,
    )
    report_host: str = setting(
        "127.0.0.1", "The address on which deployed guests report that they have booted; empty for all."
    )
    report_port: int = setting(
        0,
        "The port for these reports; 0: guests report to the region only. With a port, set the region's guest_url to "
        "http://ADDRESS:PORT of this rack, as the guests reach it.",
        at_least=0,
        at_most=65535,
    )
    metrics_host: str = setting(
        "127.0.0.1", "The address on which Prometheus reads /metrics; empty: the rack serves no metrics."
    )
    metrics_port: int = setting(
        5255, "The port for /metrics; 0: any free port. Two racks on one computer need two.", at_least=0, at_most=65535
    )
    metrics_guests: bool = setting(
        False, "Whether /metrics has the usage of each guest: seven time series for each. Needs usage_interval_s."
    )
    usage_interval_s: float = setting(
        EVERY_S,
        "Seconds between two readings of what hosts and guests use; 0: never. Pages show the last 360 readings.",
        at_least=0,
        at_most=600,
    )
    traces_endpoint: str | None = setting(None, ENDPOINT_DOC)
    traces_ratio: float = setting(1.0, RATIO_DOC, at_least=0, at_most=1)
    traces_headers: Path | None = setting(None, HEADERS_DOC)
    traces_ca: Path | None = setting(None, CA_DOC)
    allow_plain_http: bool = setting(
        False,
        "Whether traces_endpoint may send traces_headers to http:// on another computer, readable on the network.",
    )
    log_level: str = setting("info", "The lowest level that is logged.", choices=LEVELS, reload=True)
    max_calls: int = setting(
        200, "The maximum number of concurrent hypervisor calls; each uses a thread.", at_least=1, at_most=5000
    )
    max_hung_calls: int = setting(
        3, "The number of abandoned calls after which a host counts as hung.", at_least=1, at_most=100
    )

    def check(self) -> None:
        """Raises BadSettings for settings that depend on each other."""
        check_header_is_private(
            self.traces_endpoint, self.traces_headers, setting="traces_endpoint", allowed=self.allow_plain_http
        )

    @property
    def traces(self) -> TraceOptions:
        return TraceOptions(
            endpoint=self.traces_endpoint, ratio=self.traces_ratio, headers=self.traces_headers, ca=self.traces_ca
        )

    @property
    def identity_folder(self) -> Path:
        """A subfolder, so that a region and a rack can share the same `state`."""
        return self.state / "rackd"
