"""A region that is attacked by a MAAS from outside answers others as before, and learns what was wrong."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from common.errors import InnkeeperError
from innkeeper.request_body import Body
from tests.bench.machine import peak_from_now, status_mib
from tests.deployment.deployment import Deployment
from tests.doubles.hostile_server import CHUNKED, ENDLESS, HEADERS, endless_server
from tests.maas_api.authentication import api_key
from tests.maas_api.messages import JSON, Answer
from tests.maas_api.server import serving
from tests.maas_api.simulated_site import simulated_maas
from tests.support.loop_pauses import LONGEST_S, watched_loop
from tests.support.rejections import rejection

ADMIN_TOKEN = 1
MOST_MIB = 64
EMPTY_OBJECTS = b"[" + b"{}," * (2**19 // 3) + b"{}]"
MANY_OBJECTS = b"[" + b"{}," * (2**24 // 3) + b"{}]"


async def attacked(innkeeper: Deployment, path: str, **fields: str) -> InnkeeperError:
    """Returns the error of the request that makes the region ask the MAAS, during which others are answered."""

    async def others() -> None:
        while True:
            began_s = time.process_time()
            await innkeeper.get("zones/")
            taken_s.append(time.process_time() - began_s)

    taken_s: list[float] = []
    before_mib = peak_from_now("self")
    asking = asyncio.create_task(others())
    try:
        async with watched_loop() as pauses:
            error: InnkeeperError = await rejection(
                innkeeper.api.send("POST", path, body=Body(fields=list(fields.items())))
            )  # fmt: skip
    finally:
        asking.cancel()
    assert taken_s, "another request was answered meanwhile"
    assert pauses.longest_s < LONGEST_S
    assert status_mib("self", "VmHWM") - before_mib < MOST_MIB
    return error


@pytest.mark.parametrize("body", [EMPTY_OBJECTS, MANY_OBJECTS], ids=["half a MiB", "16 MiB"])
async def test_an_import_of_too_many_objects_is_refused(innkeeper: Deployment, body: bytes) -> None:
    maas = simulated_maas()
    maas.instead |= {path: Answer(body=body, content_type=JSON) for path in ("vm-hosts/", "subnets/", "machines/")}
    with serving(maas) as url:
        error = await attacked(innkeeper, "maas-imports/", url=url, key=api_key(maas, ADMIN_TOKEN))
    assert "an import takes at most 2000" in error.message or "the limit is 3000000" in error.message
    assert await innkeeper.get("maas-imports/") == []


@pytest.mark.parametrize(
    ("path", "head", "unit"),
    [
        ("maas-imports/", HEADERS, "X-More: headers\r\n"), ("maas-imports/", CHUNKED, "1\r\n \r\n"),
        ("maas-servers/", HEADERS, "X-More: headers\r\n"), ("maas-servers/", CHUNKED, "1\r\n \r\n"),
        ("maas-servers/", ENDLESS, "{},"),
    ],
)  # fmt: skip
async def test_an_answer_without_end_is_refused(innkeeper: Deployment, path: str, head: str, unit: str) -> None:
    fields: dict[str, Any] = {} if path == "maas-imports/" else {"name": "hostile"}
    with endless_server(head, unit) as port:
        url = f"http://127.0.0.1:{port}/MAAS"
        error = await attacked(innkeeper, path, url=url, key="a:b:c", **fields)
    assert "which is more than such an answer has" in error.message
