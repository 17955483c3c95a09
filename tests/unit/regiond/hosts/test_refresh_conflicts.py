"""A refresh that fails by a database conflict records no error of its host."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NoReturn, cast

import pytest

from common.errors import Busy
from common.hosts.discovery import Discovery
from common.values import HostFacts
from regiond.db.pool import Database
from regiond.hosts.discovery.model import DiscoveryRun
from regiond.hosts.discovery.refresh import Refresher
from tests.doubles.signatures import in_place_of


class ConflictingDatabase:
    """A database in which every transaction conflicts with another."""

    async def in_transaction(self, _work: Callable[..., Any]) -> NoReturn:
        raise Busy("Others changed the same rows.")

    def transaction(self) -> NoReturn:
        raise AssertionError("something was written")


class DiscoveredRefresher(Refresher):
    """A refresher whose discovery succeeds."""

    async def discover(self, _host_id: int) -> DiscoveryRun:
        facts = HostFacts(server_identity="one", architecture="amd64", hypervisor_version="1", cores=1, memory_mib=1024)
        return DiscoveryRun(began_at=datetime.now(UTC), discovery=Discovery(facts=facts, guests=()))


async def test_database_conflicts_do_not_make_a_host_unreachable() -> None:
    none = cast(Any, None)
    refresher = DiscoveredRefresher(
        in_place_of(Database, ConflictingDatabase()), none, none,
        machines=none, clean_up=none, restore=none, check_members=none, on_facts=none, on_reachable=none,
    )  # fmt: skip
    with pytest.raises(Busy, match="Others changed"):
        await refresher.refresh(1)
