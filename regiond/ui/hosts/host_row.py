"""A host as lists and page heads print it. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from attrs import frozen

from common.values import DriverType
from regiond.hosts.model import HostState, HostView
from regiond.ui import formats
from regiond.ui.hosts.trust_advice import Advice, advice_of
from regiond.ui.meter import Meter, meter_of

STALE_AFTER = timedelta(minutes=10)
_TYPES = {DriverType.LXD: "LXD", DriverType.LIBVIRT: "libvirt"}


@frozen(kw_only=True)
class Status:
    """`kind` is the look of the state; `age` says since when, or how old the data are."""

    kind: str
    icon: str
    word: str
    age: str
    needs_attention: bool = False
    is_open: bool = False


@frozen(kw_only=True)
class HostRow:
    """A meter that is None is unknown. `is_old`: the numbers are those of the last good refresh."""

    id: int
    name: str
    address: str
    project: str
    type: str
    version: str
    cluster: str
    cluster_id: int | None
    zone: str
    pool: str
    pool_id: int
    tags: tuple[str, ...]
    status: Status
    machines: int
    others: int
    cores: Meter | None
    memory: Meter | None
    storage: Meter | None
    view: HostView

    @property
    def advice(self) -> Advice | None:
        """Returns what a person has to do before the host can be used; None if nothing."""
        return advice_of(self.view)

    @property
    def is_old(self) -> bool:
        return self.status.kind in {"bad", "stale"}


def host_type(host: HostView) -> str:
    """With the cluster, if it is a member of one."""
    name = _TYPES.get(host.driver, host.driver.value)
    return f"{name} cluster" if host.cluster_id is not None else name


_BY_ERROR = {
    "peer_changed": ("bad", "rejected", "Rejected"),
    "server_unconfirmed": ("bad", "rejected", "Rejected"),
    "not_trusted": ("wait", "waiting", "Waiting for trust"),
}
_BY_STATE = {
    HostState.REMOVING: ("busy", "spinner", "Being removed"),
    HostState.UNREACHABLE: ("bad", "error", "Unreachable"),
    HostState.PENDING: ("wait", "waiting", "Not reached yet"),
}


def status_of(host: HostView, now: datetime) -> Status:
    """Returns what a host's state, error and age say together, the most important first."""
    age = formats.ago(host.refreshed_at, now) if host.refreshed_at else "never refreshed"
    if host.state is not HostState.REMOVING and host.error_code in _BY_ERROR:
        return _status(_BY_ERROR[host.error_code], age, needs_attention=True)
    if host.state in _BY_STATE:
        wrong = host.state is HostState.UNREACHABLE or (host.state is HostState.PENDING and host.error_code is not None)
        kind, icon, word = _BY_STATE[host.state]
        return _status(("bad", "error", word) if wrong else (kind, icon, word), age, needs_attention=wrong)
    if host.maintenance is not None:
        return _status(("off", "closed", "Closed"), age)
    if host.refreshed_at is not None and now - host.refreshed_at > STALE_AFTER:
        return _status(("stale", "clock", "Stale"), age, needs_attention=True, is_open=True)
    return _status(("ok", "ok", "Connected"), age, is_open=True)


def _status(look: tuple[str, str, str], age: str, *, needs_attention: bool = False, is_open: bool = False) -> Status:
    kind, icon, word = look
    return Status(kind=kind, icon=icon, word=word, age=age, needs_attention=needs_attention, is_open=is_open)


def host_row(host: HostView, now: datetime, *, machines: int = 0, others: int = 0) -> HostRow:
    capacity = host.capacity
    return HostRow(
        id=host.id,
        name=host.name,
        address=host.address,
        project=host.project,
        type=host_type(host),
        version=host.hypervisor_version or formats.DASH,
        cluster=host.cluster_name or "",
        cluster_id=host.cluster_id,
        zone=host.zone.name,
        pool=host.pool.name,
        pool_id=host.pool.id,
        tags=host.tags,
        status=status_of(host, now),
        machines=machines,
        others=others,
        cores=None if capacity is None else meter_of(f"CPU cores of {host.name}", capacity.cores),
        memory=None
        if capacity is None
        else meter_of(f"RAM of {host.name}", capacity.memory_mib, unit="GiB", text=formats.gib),
        storage=None
        if capacity is None
        else meter_of(f"Storage of {host.name}", capacity.storage_bytes, unit="GB", text=formats.gb),
        view=host,
    )
