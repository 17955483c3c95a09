"""Names of the kinds of items that need attention, for headings, choices and lines of many items."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import frozen

from regiond.attention.model import AttentionKind
from regiond.ui.texts import constant, counted

_K = AttentionKind


@frozen
class KindWords:
    """`title` is for headings; `count` names so many of the kind."""

    title: str
    count: Callable[[int], str]


KIND_WORDS: Mapping[AttentionKind, KindWords] = {
    _K.VM_MISSING: KindWords(
        constant("VMs are missing from their hosts"),
        lambda n: counted("{n} VM is missing from its host", "{n} VMs are missing from their hosts", n),
    ),
    _K.VM_VOLUME_MISSING: KindWords(
        constant("VMs cannot start without their volumes"),
        lambda n: counted("{n} VM cannot start without a volume", "{n} VMs cannot start without their volumes", n),
    ),
    _K.VM_SHOULD_RUN: KindWords(
        constant("VMs should run, but are off"),
        lambda n: counted("{n} VM should run, but is off", "{n} VMs should run, but are off", n),
    ),
    _K.VM_BROKEN: KindWords(
        constant("VMs are marked broken"), lambda n: counted("{n} VM is marked broken", "{n} VMs are marked broken", n)
    ),
    _K.VM_FAILED_DEPLOYMENT: KindWords(
        constant("VMs failed to deploy"), lambda n: counted("{n} VM failed to deploy", "{n} VMs failed to deploy", n)
    ),
    _K.VM_FAILED_COMPOSE: KindWords(
        constant("VMs were not created"), lambda n: counted("{n} VM was not created", "{n} VMs were not created", n)
    ),
    _K.VM_FAILED: KindWords(
        constant("VMs were released but not deleted"),
        lambda n: counted("{n} VM was released but not deleted", "{n} VMs were released but not deleted", n),
    ),
    _K.HOST_UNREACHABLE: KindWords(
        constant("Hosts cannot be refreshed"),
        lambda n: counted("{n} host cannot be refreshed", "{n} hosts cannot be refreshed", n),
    ),
    _K.HOST_REJECTED: KindWords(
        constant("Hosts are rejected"), lambda n: counted("{n} host is rejected", "{n} hosts are rejected", n)
    ),
    _K.HOST_NOT_TRUSTED: KindWords(
        constant("Hosts wait for trust"), lambda n: counted("{n} host waits for trust", "{n} hosts wait for trust", n)
    ),
    _K.HOST_STALE: KindWords(
        constant("Hosts have old data"), lambda n: counted("{n} host has old data", "{n} hosts have old data", n)
    ),
    _K.HOST_OVERCOMMITTED: KindWords(
        constant("Hosts are over-committed"),
        lambda n: counted("{n} host is over-committed", "{n} hosts are over-committed", n),
    ),
    _K.HOST_PROBLEM: KindWords(
        constant("Hosts report problems"),
        lambda n: counted("{n} host reports a problem", "{n} hosts report problems", n),
    ),
    _K.STORAGE_POOL_UNAVAILABLE: KindWords(
        constant("Storage pools are unavailable"),
        lambda n: counted("{n} storage pool is unavailable", "{n} storage pools are unavailable", n),
    ),
    _K.STORAGE_POOL_FULL: KindWords(
        constant("Storage pools are nearly full"),
        lambda n: counted("{n} storage pool is nearly full", "{n} storage pools are nearly full", n),
    ),
    _K.QUOTA_FULL: KindWords(
        constant("Quotas are nearly used up"),
        lambda n: counted("{n} quota is nearly used up", "{n} quotas are nearly used up", n),
    ),
    _K.RACK_AWAY: KindWords(constant("Racks are away"), lambda n: counted("{n} rack is away", "{n} racks are away", n)),
    _K.CERTIFICATE_EXPIRING: KindWords(
        constant("Certificates expire"), lambda n: counted("{n} certificate expires", "{n} certificates expire", n)
    ),
    _K.SERVER_CERTIFICATE_EXPIRING: KindWords(
        constant("Certificates of servers expire"),
        lambda n: counted("{n} certificate of a server expires", "{n} certificates of servers expire", n),
    ),
    _K.CLIENT_CERTIFICATE_EXPIRING: KindWords(
        constant("Certificates of RPC clients expire"),
        lambda n: counted("{n} certificate of an RPC client expires", "{n} certificates of RPC clients expire", n),
    ),
    _K.DISCREPANCY: KindWords(constant("Discrepancies"), lambda n: counted("{n} discrepancy", "{n} discrepancies", n)),
    _K.OPERATION_WAITING: KindWords(
        constant("Tasks wait for long"), lambda n: counted("{n} task waits for long", "{n} tasks wait for long", n)
    ),
    _K.IMAGE_FAILED: KindWords(
        constant("Images failed"), lambda n: counted("{n} image failed", "{n} images failed", n)
    ),
    _K.BACKUP_OLD: KindWords(
        constant("The region's backup is old"),
        lambda n: counted("{n} region has no recent backup", "{n} regions have no recent backup", n),
    ),
}


def kind_text(kind: AttentionKind, count: int) -> str:
    """Returns `1 host is rejected`, `412 VMs are missing from their hosts`."""
    return KIND_WORDS[kind].count(count)


def kind_title(kind: AttentionKind) -> str:
    """Returns the name of the kind for headings and choices, such as `Hosts are rejected`."""
    return str(KIND_WORDS[kind].title)
