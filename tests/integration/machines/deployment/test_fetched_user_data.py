"""User data that the host does not store: the guest fetches them from the region until it reports."""

from __future__ import annotations

import asyncio
import base64
import email
import email.policy
import gc
import gzip
import random
from typing import Any
from urllib.parse import urlsplit

import pytest

from common.addresses.report_url import ReportAddress, ReportPage
from regiond.machines.running.deployment import user_data_delivery
from tests.deployment.deployment import Deployment
from tests.doubles.guest_reports import report_of
from tests.integration.machines.deployment.test_deployments import (
    composed,
    database,
    deploy,
    reaches,
    report,
    wait_for_boot,
)
from tests.integration.support.images import add_image
from tests.postgresql.database import execute, fetchval
from tests.support.waiting import eventually

LIMIT_KIB = 128
SMALL = b"#!/bin/sh\ntrue\n"
LARGE = b"#!/bin/sh\n: " + base64.b64encode(random.Random(1).randbytes(700_000)) + b"\n"  # noqa: S311  # not a secret

LARGEST = gzip.compress(b"#!/bin/sh\n" + b"# padding\n" * 1_400_000)  # 14 MB


async def deployed(innkeeper: Deployment, user_data: bytes = LARGE, **host: Any) -> str:
    """The system id of a machine that is being deployed, on a host that stores LIMIT_KIB."""
    await add_image(innkeeper)
    system_id = await composed(innkeeper, max_user_data_kib=LIMIT_KIB, **host)
    await deploy(innkeeper, system_id, user_data=base64.b64encode(user_data).decode())
    return system_id


async def address_of(innkeeper: Deployment) -> ReportAddress:
    await wait_for_boot(innkeeper)
    found = report_of(innkeeper.simulated().user_data_of("vm"))
    assert found is not None
    return found


async def fetch(innkeeper: Deployment, path: str, *options: str) -> tuple[int, bytes]:
    """Status and content, as a guest gets them from the region itself."""
    url = f"{innkeeper.region.api_url}report/{path}"
    command = ["curl", "-sS", "-w", "\n%{http_code}", *options, url]
    program = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(60):
        output, _ = await program.communicate()
    content, _, status = output.rpartition(b"\n")
    return int(status), content


def contents(message: bytes) -> list[bytes]:
    parts = email.message_from_bytes(message, policy=email.policy.default).walk()
    return [bytes(part.get_payload(decode=True) or b"") for part in parts if not part.is_multipart()]


@pytest.mark.slow
async def test_a_guest_fetches_what_its_host_does_not_store(innkeeper: Deployment) -> None:
    system_id = await deployed(innkeeper)
    await reaches(innkeeper, system_id, "Deployed")
    fetched = innkeeper.simulated().fetched_user_data_of("vm")
    assert fetched is not None
    assert contents(fetched) == [LARGE]
    assert len(innkeeper.simulated().user_data_of("vm")) < 8192
    assert await fetchval(database(innkeeper), "select user_data_fetches = 1 from deployment")


@pytest.mark.parametrize("user_data", [SMALL, gzip.compress(SMALL)], ids=["plain", "gzip"])
async def test_a_guest_fetches_nothing_that_its_host_stores(innkeeper: Deployment, user_data: bytes) -> None:
    system_id = await deployed(innkeeper, user_data, boot="fails")
    found = await address_of(innkeeper)
    assert found.page is ReportPage.BOOTED
    assert await fetch(innkeeper, f"{found.deployment_id}/{found.secret}/user-data") == (404, GONE)
    assert await report(innkeeper, f"{found.deployment_id}/{found.secret}") == 204
    await reaches(innkeeper, system_id, "Deployed")


GONE = b"There is no such user data, its deployment has ended, or the secret is wrong."


async def test_only_the_secret_of_the_deployment_opens_its_user_data(innkeeper: Deployment) -> None:
    system_id = await deployed(innkeeper, boot="fails")
    found = await address_of(innkeeper)
    id_, secret = found.deployment_id, found.secret
    for path in (f"{id_}/{'x' * 43}", f"{id_ + 1}/{secret}", f"{'9' * 30}/{secret}", f"{id_}/{secret[:-1]}"):
        assert (await fetch(innkeeper, f"{path}/user-data"))[0] == 404
    path = f"{id_}/{secret}/user-data"
    assert contents((await fetch(innkeeper, path))[1]) == [LARGE]
    assert contents((await fetch(innkeeper, path, "--compressed"))[1]) == [LARGE], "again: it may have lost the first"
    assert b"no-store" in (await fetch(innkeeper, path, "-i"))[1].split(b"\r\n\r\n")[0]
    assert await report(innkeeper, f"{id_}/{secret}") == 204
    assert await fetch(innkeeper, path) == (404, GONE)
    await reaches(innkeeper, system_id, "Deployed")
    assert await fetch(innkeeper, path) == (404, GONE)


@pytest.mark.slow
async def test_a_guest_fetches_a_limited_number_of_times(
    innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_data_delivery, "MAX_FETCHES", 2)
    await deployed(innkeeper, boot="fails")
    found = await address_of(innkeeper)
    path = f"{found.deployment_id}/{found.secret}/user-data"
    assert [(await fetch(innkeeper, path))[0] for _ in range(4)] == [200, 200, 429, 429]


@pytest.mark.slow
async def test_a_guest_that_does_not_read_holds_two_answers_at_most(innkeeper: Deployment) -> None:
    await deployed(innkeeper, LARGEST, boot="fails")
    found = await address_of(innkeeper)
    path = f"{found.deployment_id}/{found.secret}/user-data"
    idle = [await begin_to_read(innkeeper, path) for _ in range(2)]
    assert (await fetch(innkeeper, path))[0] == 429
    assert await fetchval(database(innkeeper), "select user_data_fetches from deployment") == 2, "not counted"
    gc.disable()  # a collection would free the answer too, a minute later on a region with little to do
    try:
        idle.pop().close()
        await eventually(lambda: can_fetch(innkeeper, path))
    finally:
        gc.enable()
    for writer in idle:
        writer.close()


async def begin_to_read(innkeeper: Deployment, path: str) -> asyncio.StreamWriter:
    """Reads the head of the answer only, which is longer than any buffer between region and guest."""
    port = urlsplit(innkeeper.region.api_url).port
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    writer.write(f"GET /MAAS/report/{path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    async with asyncio.timeout(60):
        assert b" 200 " in await reader.readuntil(b"\r\n")
    return writer


async def can_fetch(innkeeper: Deployment, path: str) -> bool:
    return (await fetch(innkeeper, path))[0] == 200


async def test_a_guest_that_reports_without_its_user_data_fails(innkeeper: Deployment) -> None:
    system_id = await deployed(innkeeper, boot="fails")
    found = await address_of(innkeeper)
    assert await report(innkeeper, f"{found.deployment_id}/{found.secret}") == 204
    machine = await reaches(innkeeper, system_id, "Failed deployment")
    assert "booted without its user data" in machine["status_message"]


@pytest.mark.slow
async def test_a_guest_that_never_fetches_fails_with_that_reason(innkeeper: Deployment) -> None:
    system_id = await deployed(innkeeper, boot="fails")
    await wait_for_boot(innkeeper)
    await execute(database(innkeeper), "update deployment set booted_at = booted_at - interval '1 day'")
    machine = await reaches(innkeeper, system_id, "Failed deployment")
    assert "has not fetched them from" in machine["status_message"]
    found = report_of(innkeeper.simulated().user_data_of("vm"))
    assert found is not None
    assert await fetch(innkeeper, f"{found.deployment_id}/{found.secret}/user-data") == (404, GONE)


async def test_another_attempt_ends_the_secret_of_the_first(innkeeper: Deployment) -> None:
    system_id = await deployed(innkeeper, boot="fails")
    first = await address_of(innkeeper)
    await innkeeper.post(f"machines/{system_id}/", op="abort")
    await reaches(innkeeper, system_id, "Allocated")
    await deploy(innkeeper, system_id, user_data=base64.b64encode(LARGE).decode())
    second = await address_of(innkeeper)
    assert await fetch(innkeeper, f"{first.deployment_id}/{first.secret}/user-data") == (404, GONE)
    assert await fetch(innkeeper, f"{second.deployment_id}/{first.secret}/user-data") == (404, GONE)
    assert contents((await fetch(innkeeper, f"{second.deployment_id}/{second.secret}/user-data"))[1]) == [LARGE]
