"""A compose that the chosen host cannot make after all: it is undone there and goes on elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import frozen

from common.errors import InvalidRequest
from common.units import BYTES_PER_GB
from innkeeper.http import Body
from regiond.operations.model import OperationKind
from tests.faults.matrix.caller import asked, headers
from tests.faults.matrix.checking import refresh
from tests.faults.matrix.held import newest_changes, rows, store_of, times_since
from tests.faults.matrix.inn import STORAGE_GB, Inn
from tests.faults.matrix.scenario import LEARNS, Asked, OfMachines, Told
from tests.faults.matrix.scenarios.owning import LARGE

FILLER = "filler"
_LATER = "update vm_host_schedule set next_refresh_at = now() + interval '1 hour'"


@frozen(kw_only=True)
class Full:
    """The host that is chosen first, whose storage somebody filled since it was looked at."""

    host: str
    since: Mapping[str, int]


class ComposeMoved(OfMachines):
    name = "compose_moved"
    kinds = (OperationKind.COMPOSE,)
    ends = LEARNS

    async def prepare(self, inn: Inn) -> Full:
        """Nothing looks at the hosts between this and the asking: what is new there would be known."""
        await inn.db.execute(_LATER)
        await refresh(inn)  # a look that has begun comes before
        dry = await inn.installed.post("machines/", op="allocate", dry_run="true", **LARGE)
        host: str = dry["explanation"]["chosen"]
        if host not in inn.hosts:
            raise InvalidRequest(f"{host} is none of {', '.join(inn.hosts)}")
        with store_of(inn, host) as store:
            used = store.execute("select coalesce(sum(size_bytes), 0) from volume where pool = 'default'").fetchone()[0]
            left = STORAGE_GB * BYTES_PER_GB - used - BYTES_PER_GB
            store.execute("insert into volume values ('default', ?, ?, null, null)", (FILLER, left))
        return Full(host=host, since=newest_changes(inn))

    async def ask(self, inn: Inn, ground: Full, key: str) -> Asked:
        body, op = Body(fields=list(LARGE.items())), [("op", "allocate")]
        return asked(await inn.installed.api.send("POST", "machines/", query=op, body=body, headers=headers(key)))

    async def check(self, inn: Inn, ground: Full, told: Told) -> Iterable[str]:
        machines = await inn.installed.get("machines/")
        if len(machines) != 1:
            return [f"there are {len(machines)} machines"]
        name, host = machines[0]["hostname"], machines[0]["pod"]["name"]
        made = times_since(inn, ground.since, name, "appeared")
        return [
            *([f"it is on the full host {host}"] if host == ground.host else []),
            *([] if made == 1 else [f"the guest was made {made} times"]),
        ]

    async def clear(self, inn: Inn, ground: Full) -> None:
        rows(inn, ground.host, "delete from volume where name = ?", FILLER)
        await inn.installed.post(f"vm-hosts/{inn.hosts[ground.host]}/", op="refresh")
