"""A look that lost against others in the database says nothing of its host."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NoReturn, cast

import pytest

from common.discovery import Discovery
from common.errors import Busy
from common.values import HostFacts
from regiond.hosts.refresh import Look, Refresher


class LosesEveryConflict:
    """A database in which others are always faster."""

    async def in_transaction(self, _work: Callable[..., Any]) -> NoReturn:
        raise Busy("Others changed the same rows.")

    def transaction(self) -> NoReturn:
        raise AssertionError("something was written")


class Looked(Refresher):
    """Has looked already."""

    async def look(self, _host_id: int) -> Look:
        facts = HostFacts(server_identity="one", architecture="amd64", hypervisor_version="1", cores=1, memory_mib=1024)
        return Look(began_at=datetime.now(UTC), found=Discovery(facts=facts, guests=()))


async def test_a_host_is_not_unreachable_because_the_database_had_conflicts() -> None:
    none = cast(Any, None)
    refresher = Looked(cast(Any, LosesEveryConflict()), none, none, none, none, none, restore=none)
    with pytest.raises(Busy, match="Others changed"):
        await refresher.refresh(1)
