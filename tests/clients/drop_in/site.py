"""A region with a VM host, and a recorded MAAS, and who of them answers a request that a proxy received."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

from attrs import define, frozen

from tests.clients.client_host import simulated_host
from tests.clients.drop_in.proxies import DropIn, Program, Sides, drop_in, lists_of_both
from tests.clients.drop_in.recorded_maas import BY_MAAS, RecordedMaas, recorded_maas
from tests.clients.exact_bytes import Answer, Connection
from tests.clients.go_programs import key_of
from tests.clients.recording_proxy import RecordingProxy, recording
from tests.deployment.deployment import Deployment
from tests.support.ports import free_port

KEPT = "k3m8xw"  # the id of an imported machine
UNLISTED = "h4n7yt"  # of another one, which the proxy's list does not have yet
INNKEEPER, MAAS = "innkeeper", "maas"
# Allocations by id reach their side: with nginx all are Innkeeper's, and MAAS is asked if it answers 409.
ALLOCATED_BY_EITHER = {Program.NGINX: {'allocate$" innkeeper;': 'allocate$" ask_409;'}, Program.HAPROXY: {}}
# What the page says to change for merge-lists.
MERGED_BY = {Program.NGINX: {'"" maas;': '"" lists;'}, Program.HAPROXY: {"#use_backend lists": "use_backend lists"}}


@frozen(kw_only=True)
class Call:
    """A request as it is sent, without its signature. `fields` of a form stand in `body`."""

    method: str
    target: str  # below `/MAAS/`
    body: str = ""
    kind: str = "application/x-www-form-urlencoded"


@define(kw_only=True)
class Site:
    """`own` is the id of a machine that Innkeeper composed; those of `KEPT` and `UNLISTED` have kept theirs of MAAS."""

    innkeeper: Deployment
    region: RecordingProxy
    maas: RecordedMaas
    address: DropIn
    own: str
    host_id: int

    @property
    def key(self) -> str:
        return key_of(self.innkeeper)

    async def send(self, call: Call, *, signed: bool = True) -> Answer:
        lines = [f"Host: 127.0.0.1:{self.address.port}"]
        body = call.body.encode()
        if body or call.method in {"POST", "PUT"}:
            lines += [f"Content-Length: {len(body)}", f"Content-Type: {call.kind}"]
        if signed:
            lines.append(f"Authorization: {self.authorization()}")
        first = f"{call.method} /MAAS/{call.target} HTTP/1.1"
        return await Connection(self.address.url).send(first, [*lines, "Connection: close"], body)

    def authorization(self) -> str:
        consumer, token, secret = self.key.split(":")
        given = {
            "oauth_signature_method": "PLAINTEXT", "oauth_consumer_key": consumer, "oauth_token": token,
            "oauth_signature": f"&{secret}", "oauth_version": "1.0", "oauth_timestamp": str(int(time.time())),
            "oauth_nonce": str(time.monotonic_ns()),
        }  # fmt: skip
        return "OAuth " + ", ".join(f'{name}="{quote(value, safe="")}"' for name, value in given.items())

    async def side_of(self, call: Call) -> str:
        """Who answers. Raises AssertionError if neither did, or the proxy in their place."""
        self.region.calls.clear()
        answer = await self.send(call)
        if BY_MAAS in answer.headers:
            return MAAS
        assert self.region.calls, f"{call}: {answer.status} {answer.body!r}"
        return INNKEEPER


async def _imported(innkeeper: Deployment, host_id: int, name: str, system_id: str) -> None:
    """Composes a machine and gives it the id that it would have kept of MAAS."""
    made = await innkeeper.compose(host_id, hostname=name, cores=1, memory=1024)
    await innkeeper.fetch("update machine set system_id = $2 where system_id = $1", made["system_id"], system_id)


@asynccontextmanager
async def site(
    innkeeper: Deployment, program: Program, folder: Path, *,
    without: str | None = None, changes: Mapping[str, str] | None = None, merged: bool = False,
) -> AsyncIterator[Site]:  # fmt: skip
    """The proxy runs until the block ends. It does not reach the side `without`. `merged`: with merge-lists."""
    host = await simulated_host(innkeeper, "farm")
    host_id = await innkeeper.add_host(type=host.type, power_address=host.address, name="farm")
    composed = await innkeeper.compose(host_id, hostname="own", cores=1, memory=1024)
    await _imported(innkeeper, host_id, "kept", KEPT)
    await _imported(innkeeper, host_id, "unlisted", UNLISTED)
    async with AsyncExitStack() as running:
        maas = await running.enter_async_context(recorded_maas())
        region = await running.enter_async_context(recording(innkeeper.api.url))
        innkeeper_port = int(urlsplit(region.url).port or 0)
        sides = Sides(
            innkeeper=free_port() if without == INNKEEPER else innkeeper_port,
            maas=free_port() if without == MAAS else maas.port,
            lists=free_port(),
            ids=[KEPT],
        )
        if merged:
            changes = {**(changes or {}), **MERGED_BY[program]}
            await running.enter_async_context(lists_of_both(folder, sides))
        address = await running.enter_async_context(drop_in(program, folder / "proxy", sides, changes))
        yield Site(
            innkeeper=innkeeper, region=region, maas=maas, address=address, own=composed["system_id"], host_id=host_id
        )
