"""The RPC client library against a real listener over TLS."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncGenerator, Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from attrs import define, evolve, field

from common.errors import (
    BadSettings,
    DriverFailed,
    LinkLost,
    NotTrusted,
    OperationPending,
    OutOfCapacity,
    ResponseRejected,
)
from common.guests.compose_request import ComposeRequest
from common.rpc.commands.client_commands import (
    CLIENT_ACCEPT_OFF,
    CLIENT_ADD_DISK,
    CLIENT_ADD_INTERFACE,
    CLIENT_CHANGE_INTERFACE,
    CLIENT_CLONE,
    CLIENT_COMPOSE,
    CLIENT_DELETE,
    CLIENT_DEPLOY,
    CLIENT_DOWNLOAD,
    CLIENT_EXPORT,
    CLIENT_GROW_DISK,
    CLIENT_LIST_HOSTS,
    CLIENT_LIST_MACHINES,
    CLIENT_OPERATION,
    CLIENT_POWER,
    CLIENT_REBUILD,
    CLIENT_REMOVE_DISK,
    CLIENT_REMOVE_INTERFACE,
    CLIENT_RESIZE,
    CLIENT_SET_BOOT,
    CLIENT_WAIT,
    AddDiskCall,
    AddInterfaceCall,
    ChangeInterfaceCall,
    ClientComposeCall,
    CloneCall,
    DeployCall,
    DownloadCall,
    DownloadedPart,
    ExportCall,
    GrowDiskCall,
    HostList,
    HostSummary,
    MachineCall,
    MachineList,
    MachinePowerCall,
    MachineResizeCall,
    MachineSummary,
    Nothing,
    OperationCall,
    OperationSummary,
    RebuildCall,
    RemoveDiskCall,
    RemoveInterfaceCall,
    SetBootCall,
)
from common.rpc.handlers import Handler, Handlers
from common.rpc.link import Link
from common.rpc.peers import Peer
from common.trust.certificates import Credentials, Role, Subject
from common.values import PowerAction
from innkeeper import rpc
from innkeeper.commands.enrolment import write_identity
from innkeeper.rpc_calls import region_calls
from regiond.racks.enrolment.authority import Authority
from regiond.racks.enrolment.listener import Listener, ListenerCallbacks
from tests.support.waiting import eventually, settle
from tests.unit.command.processes import finished, spawned

DOCUMENT = Path(__file__).parents[4] / "docs" / "how-to" / "rpc-client.md"
HOST = HostSummary(
    id=1, name="local", type="virsh", cores=4, memory_mib=8192, cores_claimed=0, memory_mib_claimed=0, state="ready"
)
CHANGES = (
    CLIENT_ADD_DISK, CLIENT_GROW_DISK, CLIENT_REMOVE_DISK, CLIENT_ADD_INTERFACE, CLIENT_CHANGE_INTERFACE,
    CLIENT_REMOVE_INTERFACE, CLIENT_SET_BOOT, CLIENT_CLONE, CLIENT_DEPLOY, CLIENT_REBUILD, CLIENT_EXPORT,
)  # fmt: skip
MACHINE = MachineSummary(
    system_id="abc123", hostname="web", host_id=1, status="ready", power_state="off", cores=1, memory_mib=1024,
    wanted_power="off",
)  # fmt: skip
QUEUED = OperationSummary(id=7, kind="compose", state="queued", system_id="abc123")


@define
class Services:
    """Records requests. `ends` are the answers to successive waits; the last one repeats."""

    ends: list[OperationSummary] = field(factory=lambda: [evolve(QUEUED, state="succeeded")])
    requests: list[object] = field(factory=list)

    def returning(self, reply: object) -> Handler:
        """Returns a handler that records the request and returns `reply`."""

        async def handle(_: Link, request: object) -> object:
            self.requests.append(request)
            return reply

        return handle

    def yielding(self, *parts: object) -> Handler:
        """Returns a handler that records the request and yields `parts`."""

        async def handle(_: Link, request: object) -> AsyncGenerator[object, None]:
            self.requests.append(request)
            for part in parts:
                yield part

        return handle

    async def download(self, _: Link, request: DownloadCall) -> AsyncGenerator[DownloadedPart, None]:
        self.requests.append(request)
        if request.export_id == 7:
            yield DownloadedPart(data=b"abc", size_bytes=6)

    async def compose(self, _: Link, request: ClientComposeCall) -> OperationSummary:
        self.requests.append(request)
        if request.request.cores > 4:
            raise OutOfCapacity(f"needs {request.request.cores} cores, 4 free", required=request.request.cores)
        return QUEUED

    async def wait(self, _: Link, request: OperationCall) -> OperationSummary:
        self.requests.append(request)
        return self.ends.pop(0) if len(self.ends) > 1 else self.ends[0]

    def handlers(self) -> Handlers:
        return {
            CLIENT_LIST_HOSTS: self.yielding(HostList(hosts=(HOST,)), HostList(hosts=(evolve(HOST, id=2),))),
            CLIENT_LIST_MACHINES: self.yielding(MachineList(machines=())),
            CLIENT_DOWNLOAD: self.download,
            CLIENT_COMPOSE: self.compose,
            CLIENT_POWER: self.returning(evolve(QUEUED, kind="power")),
            CLIENT_RESIZE: self.returning(evolve(QUEUED, kind="resize")),
            **{one: self.returning(QUEUED) for one in CHANGES},
            CLIENT_ACCEPT_OFF: self.returning(MACHINE),
            CLIENT_DELETE: self.returning(evolve(QUEUED, kind="delete")),
            CLIENT_OPERATION: self.returning(QUEUED),
            CLIENT_WAIT: self.wait,
        }


@define
class Region:
    authority: Authority
    listener: Listener
    services: Services

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.listener.port}"


async def _admit(_: Peer) -> None:
    return


@pytest.fixture
def region(tmp_path: Path) -> Iterator[Region]:
    authority, services = Authority.open(tmp_path / "authority"), Services()
    listener = Listener(
        host="127.0.0.1",
        port=0,
        tls=authority.region_tls(str(uuid4()), "region"),
        name="region",
        callbacks=ListenerCallbacks(handlers={Role.CLIENT: services.handlers()}, admit=_admit),
    )

    async def start() -> None:
        listener.start()

    settle(start())
    yield Region(authority, listener, services)
    settle(listener.stop())


def issued(authority: Authority, folder: Path, role: Role = Role.CLIENT) -> Path:
    subject = Subject(role=role, id=str(uuid4()), name="robot")
    credentials: Credentials = authority.credentials_for(subject, timedelta(days=1))
    plain = {
        "certificate": credentials.certificate_pem,
        "key": credentials.key_pem,
        "authority": credentials.authority_pem,
    }
    write_identity(folder, plain)
    return folder


@pytest.fixture
def folder(region: Region, tmp_path: Path) -> Path:
    return issued(region.authority, tmp_path / "robot")


@pytest.fixture
def client(region: Region, folder: Path) -> Iterator[rpc.Region]:
    connection = rpc.connect(region.address, folder=folder)
    yield settle(connection.__aenter__())
    settle(connection.__aexit__(None, None, None))


async def test_a_machine_is_composed_and_waited_for(client: rpc.Region, region: Region) -> None:
    region.services.ends = [evolve(QUEUED, state="running"), evolve(QUEUED, state="succeeded")]
    assert [host.id for host in await client.hosts()] == [1, 2]
    assert await client.machines() == ()
    operation = await client.compose(host=1, cores=2, memory_mib=1024, idempotency_key="k")
    assert (await client.wait(operation.id)).system_id == "abc123"
    compose = ClientComposeCall(host="1", request=ComposeRequest(cores=2, memory_mib=1024), idempotency_key="k")
    wait = OperationCall(operation_id=7)
    assert region.services.requests == [Nothing(), Nothing(), compose, wait, wait]


async def test_power_size_and_deletion_are_operations(client: rpc.Region, region: Region) -> None:
    assert (await client.power("abc123", "off")).kind == "power"
    assert (await client.resize("abc123", memory_mib=4096)).kind == "resize"
    assert (await client.delete("abc123")).kind == "delete"
    assert (await client.operation(7)).state == "queued"
    assert region.services.requests == [
        MachinePowerCall(system_id="abc123", action=PowerAction.OFF),
        MachineResizeCall(system_id="abc123", memory_mib=4096),
        MachineCall(system_id="abc123"),
        OperationCall(operation_id=7),
    ]


async def test_changes_of_hardware_are_operations(client: rpc.Region, region: Region) -> None:
    vm = "abc123"
    await client.add_disk(vm, size_gb=1.5, pool="fast", tags=["data"], idempotency_key="k")
    await client.grow_disk(vm, "sdb", size_gb=2)
    await client.remove_disk(vm, 7, keep=True)
    await client.add_interface(vm, interfaces="eth1:space=dmz", tags=["up"])
    await client.change_interface(vm, "eth1", mac_address="52:54:00:00:00:20")
    await client.remove_interface(vm, "eth1")
    await client.set_boot(vm, ["network"], once=True)
    assert region.services.requests == [
        AddDiskCall(system_id=vm, size_bytes=1_500_000_000, pool="fast", tags=("data",), idempotency_key="k"),
        GrowDiskCall(system_id=vm, disk="sdb", size_bytes=2_000_000_000),
        RemoveDiskCall(system_id=vm, disk="7", keep=True),
        AddInterfaceCall(system_id=vm, interfaces="eth1:space=dmz", tags=("up",)),
        ChangeInterfaceCall(system_id=vm, interface="eth1", mac_address="52:54:00:00:00:20"),
        RemoveInterfaceCall(system_id=vm, interface="eth1"),
        SetBootCall(system_id=vm, order=("network",), once=True),
    ]


async def test_copies_and_systems_are_operations(client: rpc.Region, region: Region) -> None:
    vm = "abc123"
    await client.resize(vm, pinned_cores=[3, 4], huge_pages_backed=True, huge_page_size_mib=2)
    await client.resize(vm, pin_cores=0)
    await client.clone(vm, hostname="like", memory_mib=4096, storage_pool="fast", power_on=True, idempotency_key="k")
    await client.deploy(vm, image="noble", user_data=b"#!/bin/sh\n")
    await client.rebuild(vm, force=True)
    await client.export(vm)
    assert await client.accept_off(vm) == MACHINE
    assert region.services.requests == [
        MachineResizeCall(system_id=vm, pinned_cores=(3, 4), huge_pages_backed=True, huge_page_size_mib=2),
        MachineResizeCall(system_id=vm, pin_cores=0),
        CloneCall(
            system_id=vm, hostname="like", memory_mib=4096, storage_pool="fast", power_on=True, idempotency_key="k"
        ),
        DeployCall(system_id=vm, image="noble", user_data="IyEvYmluL3NoCg=="),
        RebuildCall(system_id=vm, force=True),
        ExportCall(system_id=vm),
        MachineCall(system_id=vm),
    ]


async def test_a_download_continues_until_its_end(client: rpc.Region, region: Region) -> None:
    assert [part async for part in client.download(7)] == [b"abc", b"abc"]
    assert region.services.requests == [DownloadCall(export_id=7, start=start) for start in (0, 3)]


async def test_a_download_that_brings_nothing_ends(client: rpc.Region) -> None:
    with pytest.raises(ResponseRejected, match="nothing of the file 8 from byte 0 on"):
        assert [part async for part in client.download(8)] == []


async def test_an_error_has_its_class_and_details(client: rpc.Region) -> None:
    with pytest.raises(OutOfCapacity, match="needs 5 cores, 4 free") as caught:
        await client.compose(cores=5)
    assert caught.value.details == {"required": 5}


async def test_waiting_for_a_failed_operation_raises_its_error(client: rpc.Region, region: Region) -> None:
    failed = evolve(QUEUED, state="failed", error_code="driver_failed", error_message="no space left")
    region.services.ends = [failed]
    with pytest.raises(DriverFailed, match="no space left"):
        await client.wait(7)


async def test_a_wait_timeout_says_that_the_operation_continues(client: rpc.Region, region: Region) -> None:
    region.services.ends = [evolve(QUEUED, state="running")]
    with pytest.raises(OperationPending, match="Operation 7"):
        await client.wait(7, deadline_s=0.2)


async def test_a_region_that_is_slow_to_close_is_no_error(
    region: Region, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(region_calls, "CLOSE_S", 0.0)
    async with rpc.connect(region.address, folder=folder) as connected:
        assert (await connected.operation(7)).state == "queued"
    await eventually(lambda: not region.listener.all_links)


async def test_a_region_of_another_authority_is_rejected(region: Region, tmp_path: Path) -> None:
    foreign = issued(Authority.open(tmp_path / "other"), tmp_path / "foreign")
    with pytest.raises(NotTrusted):
        async with rpc.connect(region.address, folder=foreign):
            pass


async def test_an_unreachable_region_is_link_lost(folder: Path) -> None:
    with pytest.raises(LinkLost, match=r"127\.0\.0\.1:1"):
        async with rpc.connect("127.0.0.1:1", folder=folder):
            pass


async def test_a_folder_without_client_credentials_is_named(region: Region, tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="innkeeper client issue"):
        async with rpc.connect(region.address, folder=tmp_path / "nothing"):
            pass
    rack = issued(region.authority, tmp_path / "rack", Role.RACK)
    with pytest.raises(BadSettings, match="certificate of a rack"):
        async with rpc.connect(region.address, folder=rack):
            pass
    (rack / "certificate.pem").write_text("nonsense")
    with pytest.raises(BadSettings, match="contains no certificate"):
        async with rpc.connect(region.address, folder=rack):
            pass


async def test_the_program_of_the_how_to_guide_runs(region: Region, folder: Path) -> None:
    found = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert found is not None
    program = re.sub(r"^ {3}", "", found[1], flags=re.MULTILINE).replace("127.0.0.1:5250", region.address)
    ran = await finished(await spawned(folder, sys.executable, "-c", program, cwd=folder.parent))
    assert (ran.status, ran.out, ran.err) == (0, "Composed abc123.\n", "")
