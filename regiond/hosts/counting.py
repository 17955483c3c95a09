"""What a discovery changes of counted resources: how many there are, and who holds which. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable

from regiond.hosts.holdings import Holder, Key, Resource, Stock, holder_of, holdings
from regiond.hosts.known import GuestRow, Known, is_resized
from regiond.ledger.model import NOTHING_COUNTED, Held


def news_of_totals(stock: Stock, known: Known) -> dict[Resource, int]:
    """0 says that it is there no more."""
    before = known.counted_totals
    gone = {resource: 0 for resource, total in before.items() if total and resource not in stock.totals}
    return {resource: total for resource, total in stock.totals.items() if before.get(resource) != total} | gone


def news_of_holdings(
    rows: Iterable[GuestRow],
    written: Container[Key],
    stock: Stock,
    known: Known,
    left_alone: Container[int | None],
    gone: Iterable[Key],
) -> tuple[tuple[GuestRow, Held], ...]:
    """What is to be written of what guests hold, but for storage: of every foreign guest that is `written`, and of
    whatever guest holds other things than it has. A machine whose size cannot be read holds what it held."""
    machines = {machine.id: machine for machine in known.machines.values()}
    rows = [row for row in rows if not _is_left(row, known, left_alone)]
    here = {row.machine_id for row in rows}
    elsewhere = {one.id for one in machines.values() if not one.on_this_server and one.id not in here}
    ended: set[Holder] = {*gone, *(row.key for row in rows if row.machine_id is not None), *elsewhere}
    before = {holder: counted for holder, counted in known.counted.items() if holder not in ended}
    rows = [row for row in rows if _is_read(row)]
    now = holdings(rows, stock, before)
    return tuple(
        (row, now[row.key])
        for row in sorted(rows, key=lambda row: row.key)
        if (row.key in written if row.machine_id is None else is_resized(row, machines[row.machine_id]))
        or now[row.key].counted != before.get(holder_of(row), NOTHING_COUNTED)
    )


def _is_read(row: GuestRow) -> bool:
    return row.machine_id is None or bool(row.cores and row.memory_mib)


def _is_left(row: GuestRow, known: Known, left_alone: Container[int | None]) -> bool:
    before = known.guests.get(row.key)
    return row.machine_id in left_alone or (before is not None and before.machine_id in left_alone)
