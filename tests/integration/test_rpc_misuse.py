"""Peers with good certificates and bad intentions, or bad luck."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from common.errors import InvalidRequest, NotAllowed
from common.rpc.commands import HOST_EVENT, RACK_RENEW, HostEvent, RenewCall
from common.rpc.connection import connect
from common.rpc.handlers import Side
from common.rpc.link import Link
from common.rpc.peers import Address, Role
from common.rpc.tls import MemberTls
from common.values import GuestChange, GuestEvent, PowerState
from common.wire import to_plain
from innkeeper import rpc
from innkeeper.identity import read_identity
from innkeeper.membership import write_identity
from rackd.identity import load
from rackd.settings import RackSettings
from tests.installation import Installation, installed
from tests.waiting import eventually


async def issue(innkeeper: Installation, name: str) -> Path:
    folder = innkeeper.folder / name
    write_identity(folder, await innkeeper.post("rpc-clients/", name=name))
    return folder


def address_of(innkeeper: Installation) -> str:
    return f"127.0.0.1:{innkeeper.region.parts.listener.port}"


@asynccontextmanager
async def linked(innkeeper: Installation, tls: MemberTls, role: Role) -> AsyncIterator[Link]:
    link = await connect(Address.parse(address_of(innkeeper)), tls, Side(role=role, name="odd"), deadline_s=30)
    try:
        yield link
    finally:
        link.close("the test is done")
        await link.closed()


@pytest.mark.parametrize("key", ["", "x" * 256, "a\0b"])
async def test_an_idempotency_key_that_cannot_be_kept_is_refused_by_name(
    tmp_path: Path, database_url: str, key: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        folder = await issue(innkeeper, "robot")
        async with rpc.connect(address_of(innkeeper), folder=folder) as region:
            with pytest.raises(InvalidRequest, match="idempotency_key"):
                await region.compose(memory_mib=1024, idempotency_key=key)


async def test_numbers_and_names_that_nothing_can_have_are_refused_by_field(tmp_path: Path, database_url: str) -> None:
    wishes: list[tuple[str, dict[str, Any]]] = [
        ("cores", {"cores": 2**63}),
        ("memory", {"memory_mib": 2**63}),
        ("pin_cores", {"pin_cores": 2**63}),
        ("pinned_cores", {"pinned_cores": (1, 2**63)}),
        ("pinned_cores", {"pinned_cores": tuple(range(5000))}),
        ("hugepage_size", {"huge_pages_backed": True, "huge_page_size_mib": 2**63}),
        ("storage", {"storage": "8(a\0b)"}),
        ("storage", {"storage": "9" * 1_000_001}),
    ]
    async with installed(tmp_path, database_url) as innkeeper:
        folder = await issue(innkeeper, "robot")
        async with rpc.connect(address_of(innkeeper), folder=folder) as region:
            for field, wish in wishes:
                with pytest.raises(InvalidRequest) as refused:
                    await region.compose(**{"memory_mib": 1024, **wish})
                assert list(refused.value.fields) == [field]


async def test_a_client_whose_account_is_switched_off_is_refused_at_its_next_call_and_at_the_door(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        folder = await issue(innkeeper, "robot")
        async with rpc.connect(address_of(innkeeper), folder=folder) as region:
            assert await region.hosts() == ()
            async with innkeeper.region.parts.database.connection() as db:
                await db.execute("update account set is_active = false")
            with pytest.raises(NotAllowed, match="switched off"):
                await region.hosts()
        with pytest.raises(NotAllowed, match="switched off"):
            async with rpc.connect(address_of(innkeeper), folder=folder):
                pass


async def test_a_client_may_not_do_what_racks_do(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        credentials, _ = read_identity(await issue(innkeeper, "robot"))
        async with linked(innkeeper, MemberTls(credentials), Role.CLIENT) as link:
            with pytest.raises(NotAllowed, match="not for a peer of role client"):
                await link.call(RACK_RENEW, RenewCall(signing_request_pem=""), deadline_s=30)


async def test_events_that_no_column_can_hold_end_neither_the_link_nor_the_watching(
    tmp_path: Path, database_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        settings = RackSettings(state=innkeeper.folder / "rack")
        await innkeeper.stop_rack("rack")
        async with linked(innkeeper, MemberTls(load(settings.identity_folder).credentials), Role.RACK) as link:
            for host_id, name in ((2**63 - 1, "a"), (1, "a\0")):
                change = GuestChange(event=GuestEvent.POWER, guest_name=name, guest_id=name, power=PowerState.ON)
                link.send_event(HOST_EVENT, to_plain(HostEvent(host_id=host_id, change=change)))
            said = ""

            def refused_twice() -> bool:
                nonlocal said
                said += "".join(capfd.readouterr())
                return said.count("rack_answer_refused") == 2

            await eventually(refused_twice)
            assert "Traceback" not in said
            assert link.is_open
