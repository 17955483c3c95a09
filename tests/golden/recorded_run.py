"""One run of every scenario of the crash matrix without a fault: the operations and events that it leaves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from common.words.operation_kinds import OperationKind
from tests.faults.matrix.instrumentation import instrumented
from tests.faults.matrix.site import MatrixSite, matrix_site
from tests.faults.matrix.trial import points_of
from tests.faults.scenarios import SCENARIOS
from tests.support.waiting import eventually

_OPERATIONS = "select kind, request from operation order by id"
_EVENTS = "select kind, level, message from event order by id"
_NAMES = "select distinct hostname from operation where hostname is not null"
_HAS_SET_AUTOSTART = "select true from operation where kind = $1 and state = 'succeeded'"


@frozen(kw_only=True)
class Recorded:
    """`requests` are the values of `operation.request`, `events` levels and messages, each with the kind.

    `hostnames` are those of all machines, some of them chosen at random.
    """

    requests: tuple[tuple[str, Mapping[str, Any]], ...]
    events: tuple[tuple[str, str, str], ...]
    hostnames: frozenset[str]


async def recorded(folder: Path, dsn: str) -> Recorded:
    """Takes a new database. Raises AssertionError if a scenario fails."""
    with instrumented() as instrumentation:
        async with matrix_site(folder, dsn, instrumentation) as site:
            for scenario in SCENARIOS.values():
                await points_of(site, scenario)
            await _set_autostart(site)
            return Recorded(
                requests=tuple((row["kind"], row["request"]) for row in await site.fetch(_OPERATIONS)),
                events=tuple((row["kind"], row["level"], row["message"]) for row in await site.fetch(_EVENTS)),
                hostnames=frozenset(row["hostname"] for row in await site.fetch(_NAMES)),
            )


async def _set_autostart(site: MatrixSite) -> None:
    """The one kind that no scenario has: the region opens it after the change of a setting."""
    host = await site.host()
    machine = await site.deployment.compose(host.host_id, hostname=site.new_name("m"), cores=1, memory=1024)
    path = f"machines/{machine['system_id']}/"
    await site.deployment.put(path, autostart="always")
    await eventually(lambda: site.fetchval(_HAS_SET_AUTOSTART, OperationKind.SET_AUTOSTART.value))
    await site.deployment.delete(path)
