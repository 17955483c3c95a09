"""All attacks, in the order in which they run."""

from __future__ import annotations

from collections.abc import Sequence

from tests.abuse.attack import Attack
from tests.abuse.attackers import (
    consoles,
    hostile_maas,
    hypervisors,
    large_bodies,
    logins,
    page_streams,
    report_forms,
    rpc_strangers,
    screens,
    slow_http,
    waiting_requests,
)
from tests.abuse.attackers.hostile_headers import HostileHeaders
from tests.abuse.attackers.rpc_rack import RackFlood

ATTACKS: Sequence[Attack] = (
    *slow_http.ATTACKS,
    *large_bodies.ATTACKS,
    HostileHeaders(),
    *logins.ATTACKS,
    *consoles.ATTACKS,
    *screens.ATTACKS,
    *waiting_requests.ATTACKS,
    *page_streams.ATTACKS,
    *report_forms.ATTACKS,
    *rpc_strangers.ATTACKS,
    RackFlood(),
    *hypervisors.ATTACKS,
    *hostile_maas.ATTACKS,
)


def attack_named(name: str) -> Attack:
    """Raises KeyError."""
    return {one.name: one for one in ATTACKS}[name]
