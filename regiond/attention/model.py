"""The values of items that need attention, and the limits from which something does."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from attrs import field, frozen

from common.trust.expiry import SOON_DAYS
from common.words.messages import Message

WAITING_AFTER_S = 600.0
CERTIFICATE_DAYS = SOON_DAYS
RACK_CERTIFICATE_DAYS = 1  # racks and RPC clients renew theirs, valid for a week, more than two days before


class AttentionKind(StrEnum):
    """In the order in which lists show them."""

    VM_MISSING = "vm_missing"
    VM_VOLUME_MISSING = "vm_volume_missing"
    VM_SHOULD_RUN = "vm_should_run"  # it is off, since its host was away or for an unclear reason
    VM_BROKEN = "vm_broken"
    VM_FAILED_DEPLOYMENT = "vm_failed_deployment"
    VM_FAILED_COMPOSE = "vm_failed_compose"
    VM_FAILED = "vm_failed"  # released, but its host did not delete it
    HOST_UNREACHABLE = "host_unreachable"
    HOST_REJECTED = "host_rejected"  # its server is not the one that was confirmed
    HOST_NOT_TRUSTED = "host_not_trusted"
    HOST_STALE = "host_stale"
    HOST_OVERCOMMITTED = "host_overcommitted"
    HOST_PROBLEM = "host_problem"
    STORAGE_POOL_UNAVAILABLE = "storage_pool_unavailable"
    STORAGE_POOL_FULL = "storage_pool_full"
    QUOTA_FULL = "quota_full"
    RACK_AWAY = "rack_away"
    CERTIFICATE_EXPIRING = "certificate_expiring"  # of the region or a rack, or ours at a host
    SERVER_CERTIFICATE_EXPIRING = "server_certificate_expiring"  # the pinned one, which a host presents
    CLIENT_CERTIFICATE_EXPIRING = "client_certificate_expiring"  # of an RPC client
    DISCREPANCY = "discrepancy"
    OPERATION_WAITING = "operation_waiting"
    IMAGE_FAILED = "image_failed"
    BACKUP_OLD = "backup_old"  # the region's own last one, or there is none


class ObjectType(StrEnum):
    """The kind of object that an item is about."""

    VM = "vm"
    HOST = "host"
    STORAGE_POOL = "storage_pool"
    QUOTA = "quota"
    RACK = "rack"
    REGION = "region"
    RPC_CLIENT = "rpc_client"
    DISCREPANCY = "discrepancy"
    OPERATION = "operation"
    IMAGE = "image"


class Severity(StrEnum):
    BROKEN = "broken"  # something does not work
    CAUTION = "caution"  # it works, and may soon not


@frozen(kw_only=True)
class AttentionLimits:
    """From when on something needs attention. `nearly_full_percent` is of storage pools and of quotas."""

    nearly_full_percent: int = 90
    stale_after_s: float = 600.0
    waiting_after_s: float = WAITING_AFTER_S
    certificate_days: int = CERTIFICATE_DAYS
    rack_certificate_days: int = RACK_CERTIFICATE_DAYS
    backup_within_hours: int = 48  # 0: no backup is expected


@frozen(kw_only=True)
class Found:
    """A condition before it has words: `facts` are what the words of its kind need."""

    kind: AttentionKind
    object_type: ObjectType
    object_id: str
    name: str
    broken: bool
    since: datetime | None
    host_id: int | None = None
    host_name: str | None = None
    pool: str | None = None
    zone: str | None = None
    facts: Mapping[str, Any] = field(factory=dict)


@frozen(kw_only=True)
class Words:
    """`what` continues the name of the object to a sentence; `cause` and `remedy` are sentences."""

    what: str
    cause: str = ""
    remedy: str


def sentence(text: str | None, otherwise: str = "") -> str:
    """Returns the text with a full stop, unless it ends as a sentence does."""
    chosen = text or otherwise
    return chosen if isinstance(chosen, Message) else _ended(chosen.strip())


def _ended(text: str) -> str:
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."


@frozen(kw_only=True)
class AttentionItem:
    """One thing that needs attention.

    `name` and `what` are a sentence together, such as `web-1` `is missing from elm`. `cause` and `remedy` are
    sentences. All four are in English, as messages that pages translate; parts that servers reported are not. `pool` is
    the resource pool of the VM or the host.
    """

    kind: AttentionKind
    severity: Severity
    object_type: ObjectType
    object_id: str
    name: str
    what: str
    cause: str
    remedy: str
    since: datetime | None
    host_id: int | None = None
    host_name: str | None = None
    pool: str | None = None
    zone: str | None = None

    @property
    def id(self) -> str:
        """Returns the same text as long as the condition lasts."""
        return f"{self.kind}-{self.object_type}-{self.object_id}"

    @property
    def text(self) -> str:
        return f"{self.name} {self.what}. {self.cause}".rstrip()


@frozen(kw_only=True)
class AttentionFilter:
    """Conditions on items, which all apply. `pools` and `zones` are names. `text` is part of the item's or the host's
    name, in any case.
    """

    kinds: tuple[AttentionKind, ...] = ()
    pools: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    text: str = ""
    object_type: ObjectType | None = None
    object_id: str | None = None
    host_id: int | None = None

    def matches(self, found: Found) -> bool:
        names = (found.name, found.host_name or "")
        return (
            (not self.kinds or found.kind in self.kinds)
            and (not self.pools or found.pool in self.pools)
            and (not self.zones or found.zone in self.zones)
            and any(self.text.casefold() in name.casefold() for name in names)
            and self.object_type in {None, found.object_type}
            and self.object_id in {None, found.object_id}
            and self.host_id in {None, found.host_id}
        )


EVERYTHING = AttentionFilter()


@frozen(kw_only=True)
class AttentionGroup:
    """The items of one kind: `items` are the first of `count`, broken ones and new ones before others."""

    kind: AttentionKind
    count: int
    broken: int
    items: tuple[AttentionItem, ...]


@frozen(kw_only=True)
class AttentionCounts:
    """The numbers of items by kind. `broken` are those of all that do not work."""

    kinds: Mapping[AttentionKind, int]
    broken: int

    @property
    def total(self) -> int:
        return sum(self.kinds.values())
