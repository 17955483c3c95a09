"""The findings of the first look at a host, line by line, each with what would mend it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from attrs import frozen

from common.values import DriverType
from regiond.hosts.model import HostView, StoragePoolView
from regiond.ui.texts import counted, text
from regiond.ui.views import formats

OK, WARN, FAIL = "ok", "warn", "fail"
_EXPIRES_SOON_DAYS = 30


@frozen(kw_only=True)
class CheckLine:
    """`outcome` is ok, warn or fail; `remedy` is empty if nothing is to be done."""

    subject: str
    outcome: str
    found: str
    remedy: str = ""


def host_check(host: HostView, now: datetime, known_before: Iterable[str] = ()) -> tuple[CheckLine, ...]:
    """The lines in the order in which they matter. Of a host that never answered only the reason is known.

    `known_before` has what the region found out about a server that knew an Innkeeper before.
    """
    return (*_lines(host, now), *map(_known, known_before))


def _known(message: str) -> CheckLine:
    return CheckLine(
        subject=text("Innkeeper before"), outcome=WARN, found=message,
        remedy=text("What helps is in the message. The host is usable as it is."),
    )  # fmt: skip


def _version(host: HostView) -> str:
    return f"{host.product} {host.hypervisor_version or ''}".strip()


def _lines(host: HostView, now: datetime) -> Iterator[CheckLine]:
    yield _reachable(host, now)
    if host.total is not None:
        yield CheckLine(subject=text("Version"), outcome=OK, found=_version(host) or text("not reported"))
        yield _virtualization(host)
        yield CheckLine(
            subject=text("Cores and RAM"),
            outcome=OK,
            found=counted(
                "{n} core, {memory}",
                "{n} cores, {memory}",
                host.total.cores,
                memory=formats.memory(host.total.memory_mib),
            ),
        )
        yield _storage(host)
        yield _networks(host)
    if host.certificate_expires_at is not None:
        yield _certificate(host.certificate_expires_at, now)
    for problem in host.problems:
        yield CheckLine(
            subject=problem.subject,
            outcome=WARN,
            found=problem.message,
            remedy=text("The rest of the host is usable. It is read again at each refresh."),
        )


def _reachable(host: HostView, now: datetime) -> CheckLine:
    if host.error_code is not None:
        return CheckLine(
            subject=text("Reachable"),
            outcome=FAIL,
            found=host.error_message or host.error_code,
            remedy=text("It is tried again by itself. If the address is wrong, change it in the settings."),
        )
    if host.refreshed_at is None:
        return CheckLine(
            subject=text("Reachable"),
            outcome=WARN,
            found=text("No answer yet"),
            remedy=text("The first look at it runs."),
        )
    found = text("Answered {ago}", ago=formats.ago(host.refreshed_at, now))
    return CheckLine(subject=text("Reachable"), outcome=OK, found=found)


def _virtualization(host: HostView) -> CheckLine:
    architecture = host.architecture or text("unknown architecture")
    if host.emulated and host.driver is not DriverType.SIMULATED:
        return CheckLine(
            subject=text("VM support"),
            outcome=WARN,
            found=text("{architecture}, without KVM: VMs are emulated and slow", architecture=architecture),
            remedy=text("Enable virtualization in the firmware, or nested virtualization if the host is a VM itself."),
        )
    return CheckLine(subject=text("VM support"), outcome=OK, found=architecture)


def _storage(host: HostView) -> CheckLine:
    pools = [pool for pool in host.storage_pools if pool.missing_since is None]
    if not pools:
        return CheckLine(
            subject=text("Storage pools"),
            outcome=FAIL,
            found=text("None"),
            remedy=text("Create a storage pool on the host, then refresh it: without one no disk can be made."),
        )
    names = ", ".join(f"{pool.name} ({', '.join(_of_pool(pool))})" for pool in pools)
    usable = [pool for pool in pools if pool.is_available]
    return CheckLine(
        subject=text("Storage pools"),
        outcome=OK if len(usable) == len(pools) else WARN if usable else FAIL,
        found=names,
        remedy="" if len(usable) == len(pools) else text("No disk is placed in a pool that is not available."),
    )


def _of_pool(pool: StoragePoolView) -> Iterator[str]:
    yield pool.type
    yield formats.storage(pool.total_bytes)
    if pool.is_default:
        yield text("default")
    if not pool.is_available:
        yield pool.status


def _networks(host: HostView) -> CheckLine:
    networks = {network.name: network for network in host.networks if network.attachable}
    if not networks:
        return CheckLine(
            subject=text("Networks"),
            outcome=WARN,
            found=text("None that a VM can be attached to"),
            remedy=text("Create a bridge on the host, then refresh it."),
        )
    names = [f"{name} (DHCP)" if networks[name].dhcp else name for name in sorted(networks)]
    return CheckLine(subject=text("Networks"), outcome=OK, found=", ".join(names))


def _certificate(expires_at: datetime, now: datetime) -> CheckLine:
    days = (expires_at - now).days
    day = f"{expires_at:%d %B %Y}"
    left = counted("Expires {day}, {n} day left", "Expires {day}, {n} days left", days, day=day)
    found = left if days >= 0 else text("Expired {day}", day=day)
    if days >= _EXPIRES_SOON_DAYS:
        return CheckLine(subject=text("Our certificate"), outcome=OK, found=found)
    return CheckLine(
        subject=text("Our certificate"),
        outcome=WARN if days >= 0 else FAIL,
        found=found,
        remedy=text("Replace it in the settings; nothing is interrupted."),
    )
