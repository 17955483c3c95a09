"""Reads what hosts and machines use from the racks that measure them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from attrs import evolve

from common.values import PowerState
from common.words.messages import message
from regiond.hosts.model import HostView
from regiond.machines.values.model import MachineView
from regiond.machines.values.search import MachineColumn
from regiond.machines.values.used import UsedAmounts
from regiond.racks.calls.usage_calls import UsageCalls
from regiond.usage.model import UsageView, amount_of, filled_url, host_view, machine_view, plausible, plausible_history


class Usages:
    """The methods take objects that the caller may see, and never raise for a rack that does not answer."""

    def __init__(self, calls: UsageCalls, *, longer_history_url: str | None = None) -> None:
        """`longer_history_url` is a template: see `filled_url`."""
        self._calls = calls
        self._longer_history_url = longer_history_url

    async def of_machine(self, machine: MachineView, *, history: bool = False) -> UsageView:
        """Returns the newest sample, with `history` also those of the last hour."""
        found = (await self.of_machines([machine]))[machine.system_id]
        if not history or machine.host_id is None:
            return found
        guest = machine.guest_name or machine.hostname
        samples = await self._calls.history(machine.host_id, guest)
        return evolve(
            found, history=plausible_history(samples, since=machine.created_at),
            longer_history_url=filled_url(self._longer_history_url, machine.host_id, guest),
        )  # fmt: skip

    async def of_machines(self, machines: Iterable[MachineView]) -> Mapping[str, UsageView]:
        """Returns the newest samples by system id: one call for each rack, whatever the number of machines."""
        wanted = list(machines)
        newest = await self._calls.newest(one.host_id for one in wanted if one.host_id is not None and _may_run(one))
        now = datetime.now(UTC)
        found = {}
        for one in wanted:
            if (reason := _not_measured(one)) is not None:
                view = UsageView(reason=reason, cores=one.cores)
            else:
                view = machine_view(
                    newest.get(one.host_id or 0), one.host_name or "", one.guest_name or one.hostname,
                    cores=one.cores, memory_mib=one.memory_mib, now=now, since=one.created_at,
                )  # fmt: skip
            found[one.system_id] = evolve(view, at_limit=one.at_limit)
        return found

    async def amounts(self, column: MachineColumn) -> UsedAmounts:
        """Returns what all guests use, for a list of machines that is sorted by this column of USED."""
        rows = [
            (host_id, guest.name, amount)
            for host_id, host in (await self._calls.newest_of_all()).items()
            for guest in host.guests
            if (amount := amount_of(plausible(guest.usage), column)) is not None
        ]
        host_ids, guests, amounts = zip(*rows, strict=True) if rows else ((), (), ())
        return UsedAmounts(host_ids=host_ids, guests=guests, amounts=amounts)

    async def amounts_of_hosts(self, column: MachineColumn) -> Mapping[int, float]:
        """Returns what hosts use, by id, for a list of hosts that is sorted by this column of USED."""
        found = {
            host_id: amount_of(plausible(host.usage), column)
            for host_id, host in (await self._calls.newest_of_all()).items()
        }
        return {host_id: amount for host_id, amount in found.items() if amount is not None}

    async def of_host(self, host: HostView, *, history: bool = False) -> UsageView:
        """Returns the newest sample, with `history` also those of the last hour."""
        found = (await self.of_hosts([host]))[host.id]
        if not history:
            return found
        return evolve(
            found, history=plausible_history(await self._calls.history(host.id)),
            longer_history_url=filled_url(self._longer_history_url, host.id),
        )  # fmt: skip

    async def of_hosts(self, hosts: Iterable[HostView]) -> Mapping[int, UsageView]:
        """Returns the newest samples by the id of the host: one call for each rack."""
        wanted = list(hosts)
        newest, now = await self._calls.newest(one.id for one in wanted), datetime.now(UTC)
        return {
            one.id: host_view(
                newest.get(one.id), one.name, now=now,
                cores=None if one.total is None else one.total.cores,
                memory_mib=None if one.total is None else one.total.memory_mib,
            )
            for one in wanted
        }  # fmt: skip


def _may_run(machine: MachineView) -> bool:
    return _not_measured(machine) is None


def _not_measured(machine: MachineView) -> str | None:
    """Returns why no rack can have measured the machine."""
    if machine.host_id is None:
        return message("{name} is on no VM host.", name=machine.hostname)
    if machine.power_state == PowerState.OFF.value:
        return message("{name} is off.", name=machine.hostname)
    return None
