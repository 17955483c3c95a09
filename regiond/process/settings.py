"""The settings of a region."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from common.addresses.ip_networks import IpNetworks
from common.errors import BadSettings
from common.process.logging import LEVELS
from common.process.plain_http import check_header_is_private, is_loopback
from common.process.settings import setting
from common.rpc.session import IDLE_TIMEOUT_S, LONGEST_IDLE_TIMEOUT_S, SHORTEST_IDLE_TIMEOUT_S
from common.tracing.export import CA_DOC, ENDPOINT_DOC, HEADERS_DOC, RATIO_DOC, TraceOptions
from common.values import Autostart

CONFIG_FILE = Path("/etc/innkeeper/regiond.toml")
LOGGED_AS = {"program": "regiond"}  # in each line of the log
ALL_ADDRESSES = ("", "0.0.0.0", "::")  # noqa: S104  # compared, not bound


@frozen(kw_only=True)
class RegionSettings:
    """The settings of regiond.toml."""

    database: str | None = setting(
        None, "The PostgreSQL database (15 or newer): postgresql://user:password@host/name.", secret=True
    )
    state: Path = setting(
        Path("/var/lib/innkeeper-regiond"),
        "The folder of what is not in the database: the authority, the master key, the credential of local commands.",
    )
    http_host: str = setting("127.0.0.1", "The address on which the API listens.")
    http_port: int = setting(5240, "The port on which the API listens.", at_least=0, at_most=65535)
    tls_certificate: Path | None = setting(
        None,
        "The file with the certificate of the API and its intermediate certificates, PEM. With it the API speaks "
        "HTTPS only. A changed file is used for new connections within seconds.",
    )
    tls_key: Path | None = setting(None, "The file with the certificate's private key, PEM without a password.")
    allow_plain_http: bool = setting(
        False,
        "Whether http_host may be an address that other computers reach without tls_certificate: passwords and API "
        "keys are then readable on the network. Also whether audit_export and traces_endpoint may send a header to "
        "http:// on another computer.",
    )
    hsts_s: int = setting(
        31536000,
        "Seconds for which browsers use only HTTPS for this host name, on all its ports (HSTS); 0 does not say so.",
        at_least=0,
        at_most=10**9,
    )
    trusted_proxies: tuple[str, ...] = setting(
        ("127.0.0.0/8", "::1"),
        "The addresses and networks of proxies: only they may name the client's address and URL in their headers.",
    )
    proxy_headers: str = setting(
        "x-forwarded",
        "Which headers those proxies set: x-forwarded (X-Forwarded-For, -Proto, -Host) or forwarded (RFC 7239).",
        choices=("x-forwarded", "forwarded"),
    )
    http_connections: int = setting(
        2000, "How many connections to the API may be open; the oldest idle one ends for a new one.", at_least=10
    )
    http_connections_per_address: int = setting(
        200,
        "How many of them one address may have, and how many requests of one account, or of one address that a proxy "
        "names, are answered at once. trusted_proxies share nine tenths of all.",
        at_least=2,
    )
    requests_per_s: int = setting(
        500,
        "Requests per second of one account, by HTTP and RPC together. Like the next two, on average over 10 s.",
        reload=True,
        at_least=1,
        at_most=10**6,
    )
    expensive_requests_per_s: int = setting(
        100,
        "How many of them may compose, allocate, add or refresh a host, or list everything.",
        reload=True,
        at_least=1,
        at_most=10**6,
    )
    anonymous_requests_per_s: int = setting(
        50, "Requests per second without a valid API key from one address.", reload=True, at_least=1, at_most=10**6
    )
    rate_limit_exempt: tuple[str, ...] = setting(
        (),
        "Addresses and networks without limits of requests and of failed logins from one address, such as monitoring.",
        reload=True,
    )
    session_idle_minutes: int = setting(
        60, "Minutes without a request after which a session of the web pages ends.", at_least=1, at_most=10080
    )
    session_hours: int = setting(
        12, "Hours after its login at which a session of the web pages ends in any case.", at_least=1, at_most=8760
    )
    public_url: str | None = setting(
        None,
        "The URL of the API as users and servers reach it, used in instructions. Default: http://http_host:http_port, "
        "https with tls_certificate.",
    )
    guest_url: str | None = setting(
        None,
        "The URL of the API as deployed guests reach it, to report that they have booted. Default: public_url.",
    )
    usage_history_url: str | None = setting(
        None,
        "The page with the usage of a VM or host over a longer time, to which pages link: an http or https URL in "
        "which {host_id} and {guest} are replaced; {guest} is empty for a host. Without it, there is no link.",
    )
    deployment_minutes: int = setting(
        30, "Minutes after its start in which a deployed guest has to report.", at_least=1, at_most=1440
    )
    rpc_host: str = setting("127.0.0.1", "The address on which racks and RPC clients connect; empty for all.")
    rpc_port: int = setting(5250, "The port on which racks and RPC clients connect.", at_least=0, at_most=65535)
    rpc_address: str | None = setting(
        None, "The host:port at which racks reach this region, used in join tokens. Default: rpc_host:rpc_port."
    )
    drain_s: float = setting(
        0.0,
        "Seconds for which a region that is stopped still serves, while /healthz/ready answers 503, so that a load "
        "balancer sends requests to other regions.",
        at_least=0,
        at_most=30,
    )
    metrics_host: str = setting(
        "127.0.0.1",
        "The address on which Prometheus reads /metrics, by plain HTTP and without a login; empty: no metrics.",
    )
    metrics_port: int = setting(5245, "The port for that; 0: any free one.", at_least=0, at_most=65535)
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
    autostart: str = setting(
        Autostart.LAST_STATE.value,
        "What becomes of VMs when their host starts: last-state (those that ran before run again), always or never. "
        "The same in all regions.",
        choices=tuple(one.value for one in Autostart),
    )
    link_idle_timeout_s: float = setting(
        IDLE_TIMEOUT_S,
        "Seconds without data after which the region closes a link.",
        at_least=SHORTEST_IDLE_TIMEOUT_S,
        at_most=LONGEST_IDLE_TIMEOUT_S,
    )
    reconciler_auto_repair: bool = setting(
        True, "Whether discrepancies with the repair policy automatic are repaired, not only recorded."
    )
    nearly_full_percent: int = setting(
        90,
        "From what use on a storage pool or a quota needs attention, in per cent of its size or limit.",
        at_least=1,
        at_most=100,
    )
    backup_within_hours: int = setting(
        48, "Hours after which the region needs attention without a new backup (0: never, as with a backup of the "
        "database by other programs).",
        at_least=0, at_most=8760,
    )  # fmt: skip
    max_cluster_members: int = setting(
        64, "How many members of an LXD cluster become hosts; others are a problem of the cluster's hosts.",
        at_least=1, at_most=1000,
    )  # fmt: skip
    keep_operations_days: int = setting(
        90, "How long an operation and its log stay after its end.", reload=True, at_least=1, at_most=3650
    )
    keep_events_days: int = setting(90, "How long events stay.", reload=True, at_least=1, at_most=3650)
    keep_audit_days: int = setting(
        365,
        "How long the audit trail keeps requests; `innkeeper region audit export` saves them. A lower value takes "
        "effect when `innkeeper region init` has run again.",
        reload=True,
        at_least=1,
        at_most=36500,
    )
    audit_export: str | None = setting(
        None,
        "Where the audit trail is sent as it grows: syslog+tcp://HOST:PORT, syslog+tls://, syslog+udp://, "
        "syslog+unix:///PATH, or https:// for JSON lines. The same in all regions.",
        secret=True,
    )
    audit_export_ca: Path | None = setting(
        None, "The file with the certificates that its server must be signed by, PEM. Default: those of this computer."
    )
    audit_export_header: Path | None = setting(
        None,
        "The file with one line of a header for https://, such as Authorization: Bearer abc. Read at each request.",
    )
    keep_idempotency_keys_days: int = setting(
        7,
        "How long a request that is repeated with its idempotency key gets the first answer.",
        reload=True,
        at_least=1,
        at_most=365,
    )
    password_min_length: int = setting(
        12, "How many characters a new password needs; 12 is the least.", reload=True, at_least=12, at_most=128
    )
    default_distro_series: str = setting(
        "",
        "The image of deployments that name none, such as ubuntu/noble, until an administrator chooses another. "
        "Default: the first one.",
    )
    max_image_gib: float = setting(
        20.0, "The size of the largest image that may be uploaded, in GiB.", at_least=0.001, at_most=16384
    )
    max_images_gib: float = setting(
        100.0, "What all images may take in the region's folder, in GiB.", at_least=0.001, at_most=10**6
    )
    keep_image_copies_days: int = setting(
        7, "How long a host keeps its copy of an image after the last deployment with it.", at_least=1, at_most=3650
    )
    image_reserve_gib: float = setting(
        2.0, "What stays free on the disk of that folder when an image is uploaded, in GiB.", at_least=0, at_most=10**6
    )
    max_exports_gib: float = setting(
        100.0,
        "What all files of exported and uploaded VMs may take in the region's folder, in GiB.",
        at_least=0.001,
        at_most=10**6,
    )
    max_exports_per_account_gib: float | None = setting(
        None,
        "What those files of one account may take, in GiB; administrators may use all. Default: half of "
        "max_exports_gib.",
        at_least=0.001,
        at_most=10**6,
    )
    keep_exports_days: int = setting(7, "How long such a file is kept.", at_least=1, at_most=3650)
    image_download_networks: tuple[str, ...] = setting(
        (),
        "Addresses and networks from which images may be downloaded although they are of this computer, its local link "
        "or a cloud's services, and private ones to which servers of the internet may redirect.",
    )
    traces_endpoint: str | None = setting(None, ENDPOINT_DOC)
    traces_ratio: float = setting(1.0, RATIO_DOC, at_least=0, at_most=1)
    traces_headers: Path | None = setting(None, HEADERS_DOC)
    traces_ca: Path | None = setting(None, CA_DOC)
    log_level: str = setting("info", "The lowest level that is logged.", choices=LEVELS, reload=True)

    def check(self) -> None:
        """Checks settings that depend on each other, and the lists of networks. Raises BadSettings."""
        if self.rpc_address is None and self.rpc_host in ALL_ADDRESSES:
            raise BadSettings(
                f"rpc_host {self.rpc_host!r} means all addresses: set rpc_address to the host:port at which racks "
                "reach this region."
            )
        if (self.tls_certificate is None) != (self.tls_key is None):
            missing, given = ("tls_key", "tls_certificate") if self.tls_key is None else ("tls_certificate", "tls_key")
            raise BadSettings(f"{given} is set and {missing} is not: HTTPS needs both.")
        if not self.uses_tls and not self.allow_plain_http and not is_loopback(self.http_host):
            raise BadSettings(
                f"http_host {self.http_host!r} can be reached from other computers, and plain HTTP would show "
                "passwords and API keys to the network. Set tls_certificate and tls_key; or set http_host to 127.0.0.1 "
                "and put a proxy with HTTPS in front; or set allow_plain_http to true."
            )
        for name, url, header in (
            ("audit_export", self.audit_export, self.audit_export_header),
            ("traces_endpoint", self.traces_endpoint, self.traces_headers),
        ):
            check_header_is_private(url, header, setting=name, allowed=self.allow_plain_http)
        if self.usage_history_url and not self.usage_history_url.startswith(("http://", "https://")):
            raise BadSettings(
                f"usage_history_url {self.usage_history_url!r} is no link: it begins with http:// or https://."
            )
        for name in ("trusted_proxies", "rate_limit_exempt", "image_download_networks"):
            self.networks(name)

    @property
    def uses_tls(self) -> bool:
        return self.tls_certificate is not None

    @property
    def traces(self) -> TraceOptions:
        return TraceOptions(
            endpoint=self.traces_endpoint, ratio=self.traces_ratio, headers=self.traces_headers, ca=self.traces_ca
        )

    @property
    def http_scheme(self) -> str:
        return "https" if self.uses_tls else "http"

    def networks(self, name: str) -> IpNetworks:
        """Returns the networks that the setting lists. Raises BadSettings."""
        try:
            return IpNetworks.parse(getattr(self, name))
        except ValueError as error:
            raise BadSettings(f"{name}: {error}. Write addresses and networks such as 10.0.0.0/8.") from error

    @property
    def required_database(self) -> str:
        """Returns the address of the database. Raises BadSettings if there is none."""
        if self.database is None:
            raise BadSettings("The setting 'database' is missing: a region needs a PostgreSQL database.")
        return self.database
