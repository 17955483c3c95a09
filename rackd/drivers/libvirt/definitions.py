"""The definitions of a host's guests, each read once in the life of a connection, and again when it may have changed.

libvirt tells most changes as events. It tells none when `virsh vcpupin --config` or `attach-device --config` changes a
guest that is off. So each look also reads a fixed number of definitions again, those that were read longest ago.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Protocol

import structlog
from attrs import field, frozen

from common.discovery import Problem
from common.errors import Busy, DriverFailed, NotFound, Unsupported
from common.values import PowerState
from rackd.drivers.libvirt.client import BulkDomain
from rackd.drivers.libvirt.defined import Defined, defined
from rackd.drivers.libvirt.guests import function_ports, mark_of_definition, paths_of, power_of
from rackd.drivers.libvirt.trees import parse

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

AGAIN = 50  # definitions that a look reads again although nothing says that they have changed
READING_S = 20.0  # a look leaves the other definitions to the next one then


class Tells(Protocol):
    """The connection, as far as it tells of changes."""

    def on_change(self, listener: Callable[[str], None]) -> bool: ...


@frozen(kw_only=True)
class Told:
    """What a look knows of definitions, by the UUID of the domain. `gone`: domains that went since they were listed."""

    definitions: Mapping[str, Defined]
    gone: frozenset[str]
    problems: tuple[Problem, ...]


@frozen(kw_only=True)
class _Read:
    definition: Defined
    signs: Hashable
    number: int  # the lower, the longer ago it was read


@frozen
class _Look:
    ends_at: float
    gone: set[str] = field(factory=set)
    problems: list[Problem] = field(factory=list)


class Definitions:
    """Of one connection. To be made before the guests are listed: from then on it hears of changes."""

    def __init__(self, connection: Tells, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()  # events come on a thread of their own
        self._changed: set[str] = set()
        self._known: dict[str, _Read] = {}
        self._reads = 0
        self._hears_all = connection.on_change(self._heard)

    def _heard(self, uuid: str) -> None:
        with self._lock:
            self._changed.add(uuid)

    def of(self, domains: Sequence[BulkDomain]) -> Told:
        """One call for each definition that is unknown or may have changed, and at most AGAIN more.

        One that cannot be read, or not in time, is a problem, and is tried again by the next look.
        """
        look = _Look(self._clock() + READING_S)
        self._forget_what_may_be_stale(domains)
        unknown = [domain for domain in domains if domain.uuid not in self._known]
        again = sorted((domain for domain in domains if domain.uuid in self._known), key=self._rank)[:AGAIN]
        left = self._read_all(unknown, look)
        self._read_all(again, look)
        if left:
            look.problems.append(_out_of_time(left, len(domains)))
        return Told(
            definitions={uuid: read.definition for uuid, read in self._known.items()},
            gone=frozenset(look.gone),
            problems=tuple(look.problems),
        )

    def _forget_what_may_be_stale(self, domains: Iterable[BulkDomain]) -> None:
        """What is told while we read counts for the next look: it may have come too late for this one."""
        with self._lock:
            changed, self._changed = self._changed, set()
        listed = {domain.uuid: _signs(domain) for domain in domains if domain.uuid not in changed}
        self._known = {uuid: read for uuid, read in self._known.items() if listed.get(uuid) == read.signs}

    def _rank(self, domain: BulkDomain) -> tuple[bool, int]:
        """Guests that run come last where their changes are told."""
        return self._hears_all and not _is_off(domain), self._known[domain.uuid].number

    def _read_all(self, domains: Sequence[BulkDomain], look: _Look) -> int:
        """How many were not read in time."""
        for index, domain in enumerate(domains):
            if self._clock() > look.ends_at:
                return len(domains) - index
            self._read(domain, look)
        return 0

    def _read(self, domain: BulkDomain, look: _Look) -> None:
        self._known.pop(domain.uuid, None)
        try:
            tree = parse(domain.handle.xml(), f"the guest {domain.name}")
            definition = defined(tree, function_ports(tree), mark_of_definition(tree))
        except NotFound:
            look.gone.add(domain.uuid)
        except (DriverFailed, Busy, Unsupported, ValueError) as error:
            message = f"Its definition cannot be read ({error}), so its pins, huge pages and cards are not told."
            look.problems.append(Problem(subject=domain.name, message=message))
        else:
            self._reads += 1
            self._known[domain.uuid] = _Read(definition=definition, signs=_signs(domain), number=self._reads)


def _is_off(domain: BulkDomain) -> bool:
    return power_of(int(domain.stats.get("state.state", 0))) is PowerState.OFF


def _signs(domain: BulkDomain) -> Hashable:
    """What statistics show of a definition: where these differ, it is another one, whatever events were heard."""
    sizes = (domain.stats.get("vcpu.current"), domain.stats.get("balloon.maximum"))
    return domain.name, _is_off(domain), sizes, frozenset(paths_of(domain.stats))


def _out_of_time(left: int, guests: int) -> Problem:
    return Problem(
        subject="definitions of guests",
        message=f"Of {guests} guests, {left} could not be read within {READING_S:.0f} s: what is known of their pins, "
        "huge pages and cards stays, and the next look reads on.",
    )
