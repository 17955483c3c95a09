"""Asks the QEMU agents in running guests for addresses that no lease of libvirt shows.

An agent can hang, so each has a few seconds, and a discovery run asks only some: those that were asked longest ago.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Protocol

import structlog
from attrs import evolve

from common.errors import Busy, DriverFailed, NotFound, Unsupported
from common.values import Guest, GuestNic, PowerState

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

ANSWER_S = 2
ASKED_GUESTS = 10  # in one run
ASKING_S = 4.0  # then no other agent is asked in this run


class AskedDomain(Protocol):
    def agent_addresses(self, *, within_s: int) -> tuple[tuple[str, tuple[str, ...]], ...]: ...


class Domains(Protocol):
    """The part of a connection that finds domains."""

    def domain(self, uuid: str) -> AskedDomain | None: ...


class GuestAgents:
    """The guest agents of one host. Remembers which of them it has asked."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._asked: dict[str, int] = {}
        self._count = 0

    def with_addresses(self, domains: Domains, guests: Sequence[Guest], connected: Container[str]) -> tuple[Guest, ...]:
        """Returns the guests with what their agents tell. `connected` has the ids of those whose agent runs.

        Makes three calls for each guest that it asks. Asks marked guests that run and have a NIC without a known
        address.
        """
        waiting = [guest for guest in guests if guest.guest_id in connected and _lacks_addresses(guest)]
        self._asked = {guest.guest_id: self._asked.get(guest.guest_id, 0) for guest in waiting}
        ends_at, answers = self._clock() + ASKING_S, {}
        for guest in sorted(waiting, key=lambda one: self._asked[one.guest_id])[:ASKED_GUESTS]:
            if self._clock() > ends_at:
                break
            self._count += 1
            self._asked[guest.guest_id] = self._count
            answers[guest.guest_id] = _ask(domains, guest)
        return tuple(_with_answer(guest, answers.get(guest.guest_id, {})) for guest in guests)


def _lacks_addresses(guest: Guest) -> bool:
    is_ours = guest.power is PowerState.ON and guest.marker is not None
    return is_ours and any(not nic.addresses for nic in guest.nics)


def _ask(domains: Domains, guest: Guest) -> Mapping[str, tuple[str, ...]]:
    """Returns the addresses by MAC address in lower case; nothing if the agent does not answer."""
    found: dict[str, tuple[str, ...]] = {}
    try:
        domain = domains.domain(guest.guest_id)
        for mac_address, addresses in () if domain is None else domain.agent_addresses(within_s=ANSWER_S):
            found[mac_address.lower()] = (*found.get(mac_address.lower(), ()), *addresses)
    except (DriverFailed, NotFound, Unsupported, Busy) as error:
        log.info("guest_agent_not_asked", guest=guest.name, reason=str(error))
    return found


def _with_answer(guest: Guest, answer: Mapping[str, tuple[str, ...]]) -> Guest:
    def told(nic: GuestNic) -> GuestNic:
        addresses = answer.get(nic.mac_address.lower())
        return nic if addresses is None else evolve(nic, addresses=addresses)

    return evolve(guest, nics=tuple(told(nic) for nic in guest.nics)) if answer else guest
