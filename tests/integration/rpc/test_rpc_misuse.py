"""Invalid requests of peers with valid certificates."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from common.errors import InvalidRequest, LinkLost, NotAllowed
from common.rpc.commands.host_commands import HOST_EVENT, HostEvent
from common.rpc.commands.region_commands import RACK_RENEW, RenewCall
from common.rpc.connection import connect
from common.rpc.handlers import Side
from common.rpc.link import Link
from common.rpc.peers import Address
from common.rpc.tls import MemberTls
from common.serialization import to_dict
from common.trust.certificates import Role
from common.values import GuestChange, GuestEvent, PowerState
from innkeeper import rpc
from innkeeper.commands.enrolment import write_identity
from innkeeper.rpc_calls.client_credentials import read_identity
from rackd.identity import load
from rackd.settings import RackSettings
from tests.deployment.deployment import Deployment
from tests.support.waiting import eventually


async def issue(innkeeper: Deployment, name: str) -> Path:
    folder = innkeeper.folder / name
    write_identity(folder, await innkeeper.post("rpc-clients/", name=name))
    return folder


@asynccontextmanager
async def client_of(innkeeper: Deployment) -> AsyncIterator[rpc.Region]:
    async with rpc.connect(address_of(innkeeper), folder=await issue(innkeeper, "robot")) as region:
        yield region


def address_of(innkeeper: Deployment) -> str:
    return f"127.0.0.1:{innkeeper.region.components.listener.port}"


@asynccontextmanager
async def linked(innkeeper: Deployment, tls: MemberTls, role: Role) -> AsyncIterator[Link]:
    link = await connect(Address.parse(address_of(innkeeper)), tls, Side(role=role, name="odd"), deadline_s=30)
    try:
        yield link
    finally:
        link.close("the test is done")
        await link.closed()


@pytest.mark.parametrize("key", ["", "x" * 256, "a\0b"])
async def test_an_invalid_idempotency_key_is_rejected_by_field(rackless: Deployment, key: str) -> None:
    async with client_of(rackless) as region:
        with pytest.raises(InvalidRequest, match="idempotency_key"):
            await region.compose(memory_mib=1024, idempotency_key=key)


async def test_invalid_numbers_and_names_are_rejected_by_field(rackless: Deployment) -> None:
    requests: list[tuple[str, dict[str, Any]]] = [
        ("cores", {"cores": 2**63}),
        ("memory", {"memory_mib": 2**63}),
        ("pin_cores", {"pin_cores": 2**63}),
        ("pinned_cores", {"pinned_cores": (1, 2**63)}),
        ("pinned_cores", {"pinned_cores": tuple(range(5000))}),
        ("hugepage_size", {"huge_pages_backed": True, "huge_page_size_mib": 2**63}),
        ("storage", {"storage": "8(a\0b)"}),
        ("storage", {"storage": "9" * 60_000}),
    ]
    async with client_of(rackless) as region:
        for field, request in requests:
            with pytest.raises(InvalidRequest) as rejected:
                await region.compose(**{"memory_mib": 1024, **request})
            assert list(rejected.value.fields) == [field]


async def test_a_size_that_no_machine_can_have_is_rejected_by_field(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    system_id = (await innkeeper.compose(host["id"], cores=1, memory=1024))["system_id"]
    sizes: list[tuple[str, dict[str, Any]]] = [
        ("cores", {}),
        ("cores", {"cores": 0}),
        ("cores", {"cores": -1}),
        ("cores", {"cores": 4097}),
        ("memory", {"memory_mib": 1023}),
        ("memory", {"memory_mib": 2**63}),
    ]
    async with client_of(innkeeper) as region:
        for field, size in sizes:
            with pytest.raises(InvalidRequest) as rejected:
                await region.resize(system_id, **size)
            assert list(rejected.value.fields) == [field], size
        assert [(one.cores, one.memory_mib) for one in await region.machines()] == [(1, 1024)]


async def test_a_client_of_a_disabled_account_is_rejected(rackless: Deployment) -> None:
    folder = await issue(rackless, "robot")
    async with rpc.connect(address_of(rackless), folder=folder) as region:
        assert await region.hosts() == ()
        async with rackless.region.components.database.connection() as db:
            await db.execute("update account set is_active = false")
        with pytest.raises((NotAllowed, LinkLost), match=r"is disabled|account deactivated"):
            await region.hosts()
    with pytest.raises(NotAllowed, match="is disabled"):
        async with rpc.connect(address_of(rackless), folder=folder):
            pass


async def test_a_client_cannot_call_a_command_for_racks(rackless: Deployment) -> None:
    credentials, _ = read_identity(await issue(rackless, "robot"))
    async with linked(rackless, MemberTls(credentials), Role.CLIENT) as link:
        with pytest.raises(NotAllowed, match="not allowed for a peer of role client"):
            await link.call(RACK_RENEW, RenewCall(signing_request_pem=""), deadline_s=30)


async def test_invalid_events_end_neither_the_link_nor_the_watch(
    innkeeper: Deployment, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = RackSettings(state=innkeeper.folder / "rack", metrics_host="")
    await innkeeper.stop_rack("rack")
    async with linked(innkeeper, MemberTls(load(settings.identity_folder).credentials), Role.RACK) as link:
        for host_id, name in ((2**63 - 1, "a"), (1, "a\0")):
            change = GuestChange(event=GuestEvent.POWER, guest_name=name, guest_id=name, power=PowerState.ON)
            link.send_event(HOST_EVENT, to_dict(HostEvent(host_id=host_id, change=change)))
        output = ""

        def rejected_twice() -> bool:
            nonlocal output
            output += "".join(capfd.readouterr())
            return output.count("rack_response_rejected") == 2

        await eventually(rejected_twice)
        assert "Traceback" not in output
        assert link.is_open
