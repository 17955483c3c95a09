"""libvirtd killed in the middle of a compose, and under guests that run: on a libvirtd of the test's own."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator, Sized
from functools import partial
from operator import le
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from common.errors import InnkeeperError
from tests.faults.daemons import Daemons
from tests.lab.lab_host import LabHost
from tests.lab.own_libvirtd import OwnLibvirtd, why_no_own_libvirtd
from tests.rows import versions
from tests.waiting import eventually

pytestmark = [pytest.mark.lab, pytest.mark.deadline(300)]

DELAYS_MS = (0, 5, 10, 20, 40)


@frozen(kw_only=True)
class Faulty:
    """An installation whose one host is a libvirtd that can be killed."""

    daemons: Daemons
    libvirtd: OwnLibvirtd
    lab_host: LabHost

    async def start(self) -> int:
        """The host's id."""
        await self.daemons.start()
        ratios = {"cpu_over_commit_ratio": "10", "memory_over_commit_ratio": "10"}
        return await self.daemons.add_host(type="virsh", power_address="qemu:///system", name="lab", **ratios)

    async def begin(self, host_id: int, name: str, **more: Any) -> int:
        """The id of a compose that goes on by itself."""
        return await self.daemons.begin_compose(
            host_id, cores=1, memory=1024, storage="1", hostname=f"{self.lab_host.prefix}{name}", **more
        )

    def kill(self) -> None:
        self.libvirtd.kill()

    async def start_again(self) -> None:
        await asyncio.to_thread(self.libvirtd.start)
        self.lab_host.connect()

    async def post(self, path: str, op: str, **fields: str) -> Any:
        query = [("op", op)]
        return (await self.daemons.api.send("POST", path, query=query, body=body(fields))).json()

    async def refresh(self, host_id: int) -> None:
        await self.post(f"vm-hosts/{host_id}/", "refresh")

    async def holds_just(self, *names: str) -> None:
        """As many guests, volumes and machines as `names`, each whole; the ledger is right, and nothing is news."""
        full = {f"{self.lab_host.prefix}{name}" for name in names}
        machines = await self.daemons.get("machines/")
        assert {machine["hostname"] for machine in machines} == full
        assert {machine["status_name"] for machine in machines} <= {"Ready"}
        assert self.lab_host.names() == full
        disks = {name: self.lab_host.tree(name).find("devices/disk/source") for name in full}
        paths = {Path(disk.get("file", "")).name for disk in disks.values() if disk is not None}
        assert self.lab_host.volumes() == paths
        assert len(paths) == len(full)
        for name in full:
            assert self.lab_host.mark(name) is not None
            assert self.lab_host.domain(name).autostart() == 1
        assert await self.daemons.ledger_faults() == []
        (host,) = await self.daemons.get("vm-hosts/")
        await eventually(lambda: self.second_look_is_unchanged(host["id"]))

    async def second_look_is_unchanged(self, host_id: int) -> bool:
        await self.refresh(host_id)
        before = await versions(self.daemons.dsn)
        await self.refresh(host_id)
        return await versions(self.daemons.dsn) == before


def lives(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


def body(fields: dict[str, str]) -> Any:
    from innkeeper.http import Body

    return Body(fields=list(fields.items()))


@pytest.fixture
def libvirtd(tmp_path: Path) -> Iterator[OwnLibvirtd]:
    if (why := why_no_own_libvirtd()) is not None:
        pytest.skip(why)
    daemon = OwnLibvirtd(tmp_path)
    daemon.start()
    yield daemon
    daemon.close()


@pytest.fixture
def faulty(tmp_path: Path, server_folder: Path, libvirtd: OwnLibvirtd) -> Iterator[Faulty]:
    lab_host = LabHost(tmp_path, uri=libvirtd.uri)
    daemons = Daemons(folder=tmp_path, server_folder=server_folder, rack_prefix=libvirtd.entering)
    yield Faulty(daemons=daemons, libvirtd=libvirtd, lab_host=lab_host)
    daemons.stop()
    if not libvirtd.is_running:
        libvirtd.start()
    lab_host.close()


def is_written(folder: Callable[[], Sized]) -> Callable[[float], bool]:
    """Whether there is more in the folder than now."""
    before = len(folder())
    return lambda _: len(folder()) > before


async def test_a_compose_that_got_stuck_in_a_stopped_libvirtd_is_finished_by_the_next(faulty: Faulty) -> None:
    host_id = await faulty.start()
    has_begun = is_written(faulty.lab_host.volumes)
    operation_id = await faulty.begin(host_id, "stuck")
    await eventually(lambda: has_begun(0), every_s=0.0)
    faulty.libvirtd.send(signal.SIGSTOP)
    await eventually(lambda: faulty.libvirtd.is_stopped)
    faulty.kill()
    await faulty.start_again()
    assert await faulty.daemons.ended(operation_id) == "succeeded"
    await faulty.holds_just("stuck")


async def test_a_libvirtd_that_is_stopped_for_long_is_unreachable_and_then_finishes_what_was_asked(
    faulty: Faulty,
) -> None:
    host_id = await faulty.start()
    faulty.libvirtd.send(signal.SIGSTOP)
    operation_id = await faulty.begin(host_id, "patient")

    async def waits() -> bool:
        operation = await faulty.daemons.get(f"operations/{operation_id}/")
        return bool(operation and operation["state"] == "waiting" and operation["error"]["code"] == "host_unreachable")

    await eventually(waits)
    faulty.libvirtd.send(signal.SIGCONT)
    assert await faulty.daemons.ended(operation_id) == "succeeded"
    await faulty.holds_just("patient")


async def killed_when(faulty: Faulty, host_id: int, name: str, is_time: Callable[[float], bool], **more: Any) -> str:
    """How the compose ended whose libvirtd was killed once `is_time`, given the milliseconds since it was accepted;
    and what stood by then."""
    operation_id = await faulty.begin(host_id, name)
    began = time.monotonic()
    await eventually(lambda: is_time((time.monotonic() - began) * 1000), every_s=0.0)
    faulty.kill()
    volumes, definitions = len(faulty.lab_host.volumes()), len(faulty.libvirtd.definitions())
    await faulty.start_again()
    state = await faulty.daemons.ended(operation_id)
    operation = await faulty.daemons.get(f"operations/{operation_id}/")
    return f"{state}, {operation['attempt']} attempts; {volumes} volumes and {definitions} domains stood"


async def test_a_libvirtd_killed_shortly_after_a_compose_began_leaves_one_whole_machine_each_time(
    faulty: Faulty, capsys: pytest.CaptureFixture[str]
) -> None:
    host_id = await faulty.start()
    outcomes: dict[str, str] = {}

    for delay_ms in DELAYS_MS:
        outcomes[f"ms{delay_ms}"] = await killed_when(faulty, host_id, f"ms{delay_ms}", partial(le, delay_ms))
    for name, folder in (("volume", faulty.lab_host.volumes), ("definition", faulty.libvirtd.definitions)):
        outcomes[name] = await killed_when(faulty, host_id, name, is_written(folder))
    with capsys.disabled():
        print("\nlibvirtd killed:", *(f"  {name}: {outcome}" for name, outcome in outcomes.items()), sep="\n")  # noqa: T201
    assert {outcome.split(",")[0] for outcome in outcomes.values()} == {"succeeded"}
    await faulty.holds_just(*outcomes)


async def test_guests_go_on_running_without_libvirtd_and_are_seen_again(faulty: Faulty) -> None:
    host_id = await faulty.start()
    operation_id = await faulty.begin(host_id, "runs", power_on="true")
    assert await faulty.daemons.ended(operation_id) == "succeeded"
    (machine,) = await faulty.daemons.get("machines/")
    path, name = f"machines/{machine['system_id']}/", f"{faulty.lab_host.prefix}runs"
    process = faulty.libvirtd.process_of(name)
    faulty.kill()
    with pytest.raises(InnkeeperError) as refused:
        await faulty.refresh(host_id)
    assert refused.value.details["status"] == 503
    assert faulty.libvirtd.process_of(name) == process
    assert lives(process)
    assert (await faulty.daemons.get(path))["power_state"] == "on"
    await faulty.start_again()
    assert (await faulty.daemons.get(f"{path}?op=query_power_state"))["state"] == "on"
    assert faulty.libvirtd.process_of(name) == process
    await faulty.holds_just("runs")
    assert (await faulty.post(path, "power_off", stop_mode="hard"))["power_state"] == "off"
    await eventually(lambda: not lives(process))  # whoever collects it may take a moment
    await faulty.daemons.api.send("DELETE", path)
    await faulty.holds_just()
