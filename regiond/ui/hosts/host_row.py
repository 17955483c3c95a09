"""A host as lists and page heads print it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from attrs import frozen

from common.values import DriverType
from regiond.hosts.model import CONSOLE_TAG, HostView
from regiond.hosts.views.host_condition import STALE_AFTER, HostCondition, Judgement, judge
from regiond.ui.hosts.trust_advice import Advice, advice_of
from regiond.ui.texts import constant, text
from regiond.ui.views import formats
from regiond.ui.views.meter import Meter, memory_meter, meter_of, storage_meter

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
    return type_name(host.driver, product=host.product, in_cluster=host.cluster_id is not None)


def type_name(driver: DriverType, *, product: str, in_cluster: bool) -> str:
    """`product` is what the driver found there; empty if the driver says it all."""
    name = product or _TYPES.get(driver, driver.value)
    return text("{type} cluster", type=name) if in_cluster else name


_LOOKS: Mapping[HostCondition, tuple[str, str, str]] = {
    HostCondition.CONNECTED: ("ok", "ok", constant("Connected")),
    HostCondition.STALE: ("stale", "clock", constant("Stale")),
    HostCondition.CLOSED: ("off", "closed", constant("Closed")),
    HostCondition.UNREACHABLE: ("bad", "error", constant("Unreachable")),
    HostCondition.REJECTED: ("bad", "rejected", constant("Rejected")),
    HostCondition.WAITING_FOR_TRUST: ("wait", "waiting", constant("Waiting for trust")),
    HostCondition.NOT_REACHED: ("wait", "waiting", constant("Not reached yet")),
    HostCondition.REMOVING: ("busy", "spinner", constant("Being removed")),
}


def word_of(condition: HostCondition) -> str:
    return _LOOKS[condition][2]


def look_of(judged: Judgement) -> tuple[str, str, str]:
    """Returns the kind, the icon and the word of a host's condition."""
    kind, icon, word = _LOOKS[judged.condition]
    if judged.condition is HostCondition.NOT_REACHED and judged.needs_attention:
        kind, icon = "bad", "error"
    return kind, icon, word


def status_of(host: HostView, now: datetime, stale_after: timedelta = STALE_AFTER) -> Status:
    """Returns what a host's state, error and age say together, the most important first."""
    judged = judge(
        host.state, host.error_code, host.refreshed_at, now,
        in_maintenance=host.maintenance is not None, stale_after=stale_after,
    )  # fmt: skip
    kind, icon, word = look_of(judged)
    return Status(
        kind=kind,
        icon=icon,
        word=word,
        age=formats.ago(host.refreshed_at, now) if host.refreshed_at else text("never refreshed"),
        needs_attention=judged.needs_attention,
        is_open=judged.is_open,
    )


def host_row(
    host: HostView, now: datetime, *, machines: int = 0, others: int = 0, stale_after: timedelta = STALE_AFTER
) -> HostRow:
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
        tags=tuple(tag for tag in host.tags if tag != CONSOLE_TAG),
        status=status_of(host, now, stale_after),
        machines=machines,
        others=others,
        cores=None if capacity is None else meter_of(text("CPU cores of {name}", name=host.name), capacity.cores),
        memory=None if capacity is None else memory_meter(text("RAM of {name}", name=host.name), capacity.memory_mib),
        storage=None
        if capacity is None
        else storage_meter(text("Storage of {name}", name=host.name), capacity.storage_bytes),
        view=host,
    )
