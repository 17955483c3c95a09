"""Caches each domain's configuration per connection and refreshes it after changes.

libvirt sends events for most changes, but not when `virsh vcpupin --config` or `attach-device --config` changes a
guest that is off. So each discovery run also rereads a fixed number of domains, those read longest ago.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Protocol

import structlog
from attrs import field, frozen

from common.errors import Busy, DriverFailed, NotFound, Unsupported
from common.hosts.discovery import Problem
from common.values import PowerState
from rackd.drivers.libvirt.connection.client import BulkDomain
from rackd.drivers.libvirt.definitions.domain_config import DomainConfig, domain_config
from rackd.drivers.libvirt.inventory.guests import paths_of, power_of
from rackd.drivers.libvirt.xml import parse

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

REREAD_DOMAINS = 50  # unchanged domains that a discovery run reads again
READ_LIMIT_S = 20.0  # then the next discovery run reads the remaining domains


class ChangeEvents(Protocol):
    """The part of a connection that the cache uses."""

    def on_change(self, listener: Callable[[str], None]) -> bool: ...


@frozen(kw_only=True)
class DomainConfigs:
    """Known configurations by domain UUID. `deleted` has the domains that were deleted after they were listed."""

    configs: Mapping[str, DomainConfig]
    deleted: frozenset[str]
    problems: tuple[Problem, ...]


@frozen(kw_only=True)
class _Entry:
    config: DomainConfig
    signature: Hashable
    sequence: int  # lower: read longer ago


@frozen
class _Run:
    ends_at: float
    deleted: set[str] = field(factory=set)
    problems: list[Problem] = field(factory=list)


class DomainCache:
    """Belongs to one connection. Create it before the domains are listed, so that it receives all later events."""

    def __init__(
        self,
        connection: ChangeEvents,
        *,
        clock: Callable[[], float] = time.monotonic,
        reread_domains: int = REREAD_DOMAINS,
    ) -> None:
        self._clock = clock
        self._reread_domains = reread_domains
        self._lock = threading.Lock()  # events arrive on another thread
        self._changed: set[str] = set()
        self._entries: dict[str, _Entry] = {}
        self._reads = 0
        self._receives_all_events = connection.on_change(self.has_changed)

    def has_changed(self, uuid: str) -> None:
        """The next discovery run reads this domain: libvirt sends no event for each change of a device."""
        with self._lock:
            self._changed.add(uuid)

    def refresh(self, domains: Sequence[BulkDomain]) -> DomainConfigs:
        """Makes one call for each domain that is unknown or may have changed, and at most `reread_domains` more.

        A domain that cannot be read, or not within READ_LIMIT_S, becomes a Problem; the next run tries it again.
        """
        run = _Run(self._clock() + READ_LIMIT_S)
        self._drop_stale(domains)
        unknown = [domain for domain in domains if domain.uuid not in self._entries]
        known = (domain for domain in domains if domain.uuid in self._entries)
        reread = sorted(known, key=self._reread_rank)[: self._reread_domains]
        unread = self._read_all(unknown, run)
        self._read_all(reread, run)
        if unread:
            run.problems.append(_out_of_time(unread, len(domains)))
        return DomainConfigs(
            configs={uuid: entry.config for uuid, entry in self._entries.items()},
            deleted=frozenset(run.deleted),
            problems=tuple(run.problems),
        )

    def _drop_stale(self, domains: Iterable[BulkDomain]) -> None:
        """Events that arrive from now on count for the next run: they may come too late for this one."""
        with self._lock:
            changed, self._changed = self._changed, set()
        listed = {domain.uuid: _signature(domain) for domain in domains if domain.uuid not in changed}
        self._entries = {uuid: entry for uuid, entry in self._entries.items() if listed.get(uuid) == entry.signature}

    def _reread_rank(self, domain: BulkDomain) -> tuple[bool, int]:
        """Puts running domains last if the connection reports all their changes."""
        return self._receives_all_events and not _is_off(domain), self._entries[domain.uuid].sequence

    def _read_all(self, domains: Sequence[BulkDomain], run: _Run) -> int:
        """Returns the number of domains that were not read in time."""
        for index, domain in enumerate(domains):
            if self._clock() > run.ends_at:
                return len(domains) - index
            self._read(domain, run)
        return 0

    def _read(self, domain: BulkDomain, run: _Run) -> None:
        self._entries.pop(domain.uuid, None)
        try:
            config = domain_config(parse(domain.handle.xml(), f"the guest {domain.name}"))
        except NotFound:
            run.deleted.add(domain.uuid)
        except (DriverFailed, Busy, Unsupported, ValueError) as error:
            message = f"Its pins, huge pages and NICs are unknown, because its XML cannot be read: {error}"
            run.problems.append(Problem(subject=domain.name, message=message))
        else:
            self._reads += 1
            self._entries[domain.uuid] = _Entry(config=config, signature=_signature(domain), sequence=self._reads)


def _is_off(domain: BulkDomain) -> bool:
    return power_of(int(domain.stats.get("state.state", 0))) is PowerState.OFF


def _signature(domain: BulkDomain) -> Hashable:
    """Returns what statistics show of the configuration. Other values prove a change, with or without an event."""
    sizes = tuple(domain.stats.get(key) for key in ("vcpu.current", "balloon.current", "balloon.maximum"))
    return domain.name, _is_off(domain), sizes, frozenset(paths_of(domain.stats))


def _out_of_time(unread: int, domains: int) -> Problem:
    return Problem(
        subject="guest definitions",
        message=f"{unread} of {domains} guests could not be read within {READ_LIMIT_S:.0f} s. Their last known pins, "
        "huge pages and NICs stay valid; the next refresh reads the remaining guests.",
    )
