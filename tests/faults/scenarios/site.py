"""Where a scenario runs: the deployment of many cells."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from attrs import define, field

from common.errors import InnkeeperError
from common.words.operation_kinds import OperationKind
from tests.deployment.deployment import Deployment
from tests.faults.scenarios.cell_hosts import CellHost, GuestHost, SimulatedCellHost

_NEWEST = "select coalesce(max(id), 0) from operation"

H = TypeVar("H", bound=CellHost)


@define(kw_only=True)
class Site(ABC):
    """The deployment of many cells."""

    deployment: Deployment
    temporary: dict[str, CellHost] = field(factory=dict)  # hosts that one cell adds and removes
    names: int = 0

    def new_name(self, prefix: str) -> str:
        """A name that no other cell of this deployment uses."""
        self.names += 1
        return f"{prefix}-{self.names}"

    @abstractmethod
    async def host(self) -> GuestHost:
        """A host that is added and ready. Cells may share it."""

    async def hosts(self) -> Sequence[GuestHost]:
        """All hosts on which the region may place a machine."""
        return [await self.host()]

    @abstractmethod
    def new_host(self) -> GuestHost:
        """A host that is not added yet, for this cell alone."""

    @abstractmethod
    def new_lxd_host(self) -> CellHost:
        """An LXD host that is not added yet; its fields have a token."""

    @abstractmethod
    async def refresh_all(self) -> None:
        """Refreshes every host; retries while the deployment recovers."""

    async def fetch(self, statement: str, *values: object) -> list[Any]:
        return await self.deployment.fetch(statement, *values)

    async def fetchval(self, statement: str, *values: object) -> Any:
        found = await self.fetch(statement, *values)
        return found[0][0] if found else None

    async def newest_operation(self) -> int:
        return int(await self.fetchval(_NEWEST))

    async def opened(self, kind: OperationKind, after: int) -> int | None:
        """The newest operation of that kind after operation `after`."""
        found = await self.deployment.get("operations/")
        return next((one["id"] for one in found if one["kind"] == kind and one["id"] > after), None)

    # Hosts ------------------------------------------------------------------------------------------------------

    async def add(self, host: H) -> H:
        host.host_id = await self.deployment.add_host(**host.fields)
        host.after = await self.newest_operation()
        return host

    async def find(self, host: CellHost) -> Any:
        """What the API returns for the host; None if there is none of that name."""
        found = [one for one in await self.deployment.get("vm-hosts/") if one["name"] == host.name]
        assert len(found) <= 1, f"{len(found)} hosts are named {host.name}"
        return found[0] if found else None

    async def until_ready(self, host: CellHost) -> Any:
        """Refreshes the host if it is not ready; raises the error of a refresh that fails."""
        found = await self.find(host)
        if found is not None and found["state"] != "ready":
            await self.deployment.post(f"vm-hosts/{found['id']}/", op="refresh")
            found = await self.find(host)
        return found

    async def refresh(self, host: CellHost) -> None:
        """Raises the error of a refresh that fails."""
        await self.deployment.post(host.path, op="refresh")

    async def refresh_failure(self, path: str) -> str | None:
        """Refreshes the host at `path`; returns why the deployment could not, if it may later. Raises other errors."""
        try:
            await self.deployment.post(path, op="refresh")
        except InnkeeperError as error:
            if error.details.get("status") != 503:
                raise
            return error.message
        return None

    async def not_ready(self, host: CellHost) -> list[str]:
        """What is wrong with a host that should be ready, after another refresh."""
        try:
            found = await self.find(host)
            if found is None:
                return [f"there is no host {host.name}"]
            await self.deployment.post(f"vm-hosts/{found['id']}/", op="refresh")
            found = await self.find(host)
        except (InnkeeperError, AssertionError) as error:
            return [f"{host.name}: {error}"]
        return [] if found["state"] == "ready" and found["total"]["cores"] else [f"{host.name} is {found['state']}"]

    async def remove(self, host: CellHost) -> None:
        """Removes a temporary host with its machines; only its file stays."""
        found = await self.find(host)
        if found is not None:
            await self.deployment.delete(f"vm-hosts/{found['id']}/", decompose="true")
        self.temporary.pop(host.name, None)

    # History of the hosts ---------------------------------------------------------------------------------------

    async def moment(self) -> dict[str, int]:
        """The newest change of each host, for `count`."""
        return {host.name: await asyncio.to_thread(host.newest_change) for host in await self.hosts()}

    async def not_once(self, what: str, guest: str, event: str, since: Mapping[str, int]) -> Iterable[str]:
        """A problem unless `event` happened exactly once to the guest, on all hosts together; none without history."""
        found = [await asyncio.to_thread(one.count, guest, event, since.get(one.name, 0)) for one in await self.hosts()]
        known = [number for number in found if number is not None]
        return [] if not known or sum(known) == 1 else [f"the guest was {what} {sum(known)} times"]


class SimulatedSite(Site):
    """A site with two shared hosts, of which each call can be made to fail. Only the in-process matrix has one."""

    @abstractmethod
    async def other_host(self) -> SimulatedCellHost:
        """A second host that is added and ready."""

    @abstractmethod
    def fail_call(self, host: CellHost, call: str) -> None:
        """Makes the host unreachable at this call, until `restore_calls`."""

    @abstractmethod
    def end_host(self, host: CellHost) -> None:
        """Makes the host unreachable until `restore_calls`."""

    @abstractmethod
    def restore_calls(self) -> None:
        """Ends the effect of `fail_call` and `end_host`."""

    @abstractmethod
    def call_fails(self, host: CellHost, call: str) -> bool:
        """Whether `fail_call` is in effect."""

    @abstractmethod
    def attempts_held(self, kind: OperationKind) -> AbstractContextManager[None]:
        """Attempts at operations of this kind that are due meanwhile begin only after the block."""

    @abstractmethod
    def name_server(self, host: CellHost, name: str) -> None:
        """Gives the server of an LXD host another name, until the host is removed."""


def simulated(site: Site) -> SimulatedSite:
    """For scenarios that the sample on real processes omits."""
    assert isinstance(site, SimulatedSite), "this scenario requires the in-process matrix"
    return site
