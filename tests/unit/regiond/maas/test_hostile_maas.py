"""A MAAS that answers with too much is refused, while everything else of the region goes on."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Iterator
from typing import Any

import pytest

from common.errors import InnkeeperError, InvalidRequest, ResponseRejected
from regiond.maas.access import maas_access
from regiond.maas.bridge.maas_api import with_ids
from regiond.maas.client import MaasClient
from regiond.maas.imports.inventory_file import MAX_INVENTORY_BYTES
from regiond.maas.imports.inventory_reading import InventoryReading
from tests.bench.machine import peak_from_now, status_mib
from tests.doubles.hostile_server import CHUNKED, ENDLESS, HEADERS, endless_server
from tests.maas_api.authentication import api_key
from tests.maas_api.messages import JSON, Answer
from tests.maas_api.server import serving
from tests.maas_api.simulated_site import simulated_maas
from tests.maas_api.state import Maas
from tests.support.loop_pauses import LONGEST_S, watched_loop
from tests.unit.regiond.maas.test_maas_plan_file import packed

ADMIN_TOKEN = 1
MOST_MIB = 64  # the body of one answer of the bridge, and what Python keeps
EMPTY_OBJECTS = b"[" + b"{}," * (2**19 // 3) + b"{}]"
MANY_OBJECTS = b"[" + b"{}," * (2**24 // 3) + b"{}]"


@pytest.fixture
def maas() -> Maas:
    return simulated_maas()


@pytest.fixture
def url(maas: Maas) -> Iterator[str]:
    with serving(maas) as found:
        yield found


async def refused(work: Awaitable[Any]) -> InnkeeperError:
    """Returns the error of the work, during which nothing else has waited, and memory has not grown."""
    before_mib = peak_from_now("self")
    async with watched_loop() as pauses:
        with pytest.raises(InnkeeperError) as raised:
            await work
    assert pauses.longest_s < LONGEST_S
    assert status_mib("self", "VmHWM") - before_mib < MOST_MIB
    return raised.value


@pytest.mark.parametrize(
    ("path", "body", "problem"),
    [
        ("vm-hosts/", EMPTY_OBJECTS, "vm-hosts/ has 174763 objects, and an import takes at most 2000"),
        ("subnets/", EMPTY_OBJECTS, "subnets/ has 174763 objects, and an import takes at most 5000"),
        ("zones/", MANY_OBJECTS, "about 11184813 values; the limit is 3000000"),
        ("machines/", b"[" * 2**20 + b"]" * 2**20, "more than 100 levels"),
        ("fabrics/", b'[{"id": 1, "name": "a", "vlans": ' + EMPTY_OBJECTS + b"}]", "vlans has 174763 objects"),
        ("tags/", b'[{"name": "\\ud800"}]', "name has characters that no text has"),
        ("domains/", b'[{"id": 1, "name": "a", "ttl": 1' + b"0" * 400 + b"}]", "ttl is a number that fits nothing"),
    ],
)
async def test_an_import_refuses_lists_of_more_than_a_maas_has(
    maas: Maas, url: str, path: str, body: bytes, problem: str
) -> None:
    maas.instead[path] = Answer(body=body, content_type=JSON)
    error = await refused(InventoryReading().of_maas(maas_access(url, api_key(maas, ADMIN_TOKEN))))
    assert isinstance(error, ResponseRejected)
    assert problem in error.message


@pytest.mark.parametrize("body", [EMPTY_OBJECTS, MANY_OBJECTS, b"[" * 2**20 + b"]" * 2**20, b" " * 2**24])
async def test_the_bridge_refuses_answers_of_more_than_machines_have(maas: Maas, url: str, body: bytes) -> None:
    maas.instead["machines/"] = Answer(body=body, content_type=JSON)
    client = MaasClient(maas_access(url, api_key(maas, ADMIN_TOKEN)), deadline_s=30.0)
    error = await refused(with_ids(client, ["4y3h7n"]))
    assert isinstance(error, ResponseRejected)
    assert "which is more than such an answer has" in error.message


@pytest.mark.parametrize(
    ("head", "unit", "problem"),
    [
        (ENDLESS, "{},", "more than 4194304 bytes"),
        (CHUNKED, "1\r\n \r\n", "headers or frames of more than 262144 bytes"),
        (HEADERS, "X-More: headers\r\n", "headers or frames of more than 262144 bytes"),
        (HEADERS, "X", "was lost before the answer"),
    ],
    ids=["endless body", "chunks of one byte", "endless headers", "an endless header"],
)
async def test_an_answer_without_end_is_cut(head: str, unit: str, problem: str) -> None:
    with endless_server(head, unit) as port:
        error = await refused(MaasClient(maas_access(f"http://127.0.0.1:{port}/MAAS", "a:b:c")).get("zones/"))
    assert problem in error.message


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (packed(bytes(2 * MAX_INVENTORY_BYTES)), f"at most {MAX_INVENTORY_BYTES} bytes"),
        (packed(b"[" + b"{}," * 20_000_000 + b"{}]"), "about 40000003 values"),
        (
            packed(b'{"origin": {"kind": "api", "label": "x"}, "zones": [' + b"{}," * 500_000 + b"{}]}"),
            "zones: not a Named",
        ),
        (packed(json.dumps({"origin": {"kind": "api", "label": "x"}, "a": "a" * 2**26}).encode()[:-1]), "Not an"),
    ],
    ids=["zeros", "objects", "malformed objects", "a long text"],
)
async def test_a_file_that_expands_is_refused(content: bytes, problem: str) -> None:
    error = await refused(InventoryReading().of_file(content))
    assert isinstance(error, InvalidRequest)
    assert problem in error.message
