"""Pages are compressed: what a row costs, what is never compressed, and that no secret has the same text twice."""

from __future__ import annotations

import gzip
import re
from urllib.parse import urlsplit

import pytest

from regiond.accounts.csrf import csrf_secret
from tests.bench.prefilled import prefill
from tests.browser.support.fleet import PASSWORD, add_administrator_with_password
from tests.deployment.deployment import Deployment
from tests.integration.support.web_client import WebClient
from tests.support.waiting import settle

GZIP = {"Accept-Encoding": "gzip"}
ROWS = 200
MOST_BYTES_OF_A_HOST = 500


@pytest.fixture
def client(rackless: Deployment) -> WebClient:
    settle(add_administrator_with_password(rackless))
    client = WebClient(urlsplit(rackless.region.api_url).port or 0)
    settle(client.log_in("mira", PASSWORD))
    return client


@pytest.mark.slow
async def test_a_row_of_a_host_costs_at_most_500_bytes(rackless: Deployment, client: WebClient) -> None:
    await prefill(rackless.dsn, hosts=ROWS, machines_each=5)
    sizes = {}
    for rows in (50, ROWS):
        page = await client.get(f"/MAAS/ui/hosts?size={rows}", **GZIP)
        text = gzip.decompress(page.content).decode()
        assert text.split("<tbody>")[1].split("</tbody>")[0].count("<tr ") == rows
        sizes[rows] = len(page.content)
    assert (sizes[ROWS] - sizes[50]) / (ROWS - 50) <= MOST_BYTES_OF_A_HOST


async def test_no_answer_has_the_token_of_another(client: WebClient) -> None:
    """Whoever measures compressed pages compares texts of his choice with what all of them have in common."""
    texts = [gzip.decompress((await client.get("/MAAS/ui/overview", **GZIP)).content).decode() for _ in range(2)]
    tokens = [set(re.findall(r"[0-9a-f]{128}", text)) for text in texts]
    assert [len(found) for found in tokens] == [1, 1]
    assert tokens[0] != tokens[1]
    cookie = client.cookies["innkeeper_session"]
    assert cookie not in texts[0]
    assert csrf_secret(cookie).hex() not in texts[0]


@pytest.mark.parametrize(
    ("site", "is_compressed"),
    [(None, True), ("none", True), ("same-origin", True), ("same-site", False), ("cross-site", False)],
)
async def test_what_another_site_asks_for_is_not_compressed(
    client: WebClient, site: str | None, is_compressed: bool
) -> None:
    given = GZIP if site is None else {**GZIP, "Sec-Fetch-Site": site}
    answer = await client.get("/MAAS/ui/overview?q=guess", **given)
    assert ("Content-Encoding" in answer.headers) is is_compressed
    assert answer.headers["Vary"] == "Cookie, Accept-Encoding, Sec-Fetch-Site"


async def test_answers_to_forms_and_streams_are_not_compressed(client: WebClient) -> None:
    page = await client.get("/MAAS/ui/zones/add")
    refused = await client.post("/MAAS/ui/zones/add", GZIP, csrf=page.csrf, name="")
    assert len(refused.text) > 5000
    assert "Content-Encoding" not in refused.headers
    stream = await client.send("HEAD", "/MAAS/ui/stream", headers=GZIP)
    assert "Content-Encoding" not in stream.headers


async def test_heads_and_errors_have_the_headers_of_the_page(client: WebClient) -> None:
    head = await client.send("HEAD", "/MAAS/ui/about", headers=GZIP)
    assert (head.status, head.content) == (200, b"")
    assert head.headers["Content-Encoding"] == "gzip"
    missing = await client.get("/MAAS/ui/no/such/page", **GZIP)
    assert missing.status == 404
    assert "There is no page at" in gzip.decompress(missing.content).decode()
    plain = await client.get("/MAAS/ui/about")
    assert "Content-Encoding" not in plain.headers


async def test_files_are_compressed_and_asked_for_by_their_tag(client: WebClient) -> None:
    page = await client.get("/MAAS/ui/login")
    path = page.text.split('rel="stylesheet" href="')[1].split('"')[0]
    packed, plain = await client.get(path, **GZIP), await client.get(path)
    assert gzip.decompress(packed.content) == plain.content
    assert len(packed.content) < len(plain.content) / 5
    assert packed.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"
    assert packed.headers["ETag"] != plain.headers["ETag"]
    for tag in (packed.headers["ETag"], plain.headers["ETag"]):
        unchanged = await client.get(path, **GZIP, **{"If-None-Match": tag})
        assert (unchanged.status, unchanged.content) == (304, b"")
    changed = await client.get(path, **GZIP, **{"If-None-Match": '"other"'})
    assert changed.status == 200
