"""LXD servers are added by token, their new certificate is accepted, and their credentials are rotated."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from attrs import define

from common.trust.certificates import make_authority, utc_now
from common.words.operation_kinds import OperationKind
from innkeeper.answer import Answer
from tests.doubles.lxd_double import FakeLxd
from tests.faults.scenarios.cell_hosts import CellHost
from tests.faults.scenarios.hosts.hosts import AddCellHost
from tests.faults.scenarios.scenario import SUCCEEDS, Outcome, Request, Response, UnkeyedScenario, problem
from tests.faults.scenarios.site import Site

_PAIRS = "select count(*), count(replaces_id) from key_pair"  # no other host of the cell has one


@define(kw_only=True)
class FakeLxdHost(CellHost):
    """A host on the LXD double."""

    server: FakeLxd

    @classmethod
    def new(cls, name: str) -> FakeLxdHost:
        server = FakeLxd(name=name)
        fields = {"type": "lxd", "power_address": name, "name": name, "password": server.token()}
        return cls(name=name, fields=fields, server=server)

    def trust_problems(self) -> list[str]:
        trusted = list(self.server.trusted)
        return [
            *problem(f"the server trusts {len(trusted)} certificates", when=len(trusted) != 1),
            *problem("the certificate in use is not the trusted one", when=self.server.used[-1:] != trusted[-1:]),
        ]


async def trust_problems(site: Site, state: CellHost) -> list[str]:
    """Problems unless the host is ready and its server trusts one certificate of ours, the one in use."""
    found = await site.find(state)
    if found is None:
        return ["there is no host"]
    parameters = await site.deployment.get(f"vm-hosts/{found['id']}/", op="parameters")
    return [
        *await site.not_ready(state),
        *await asyncio.to_thread(state.trust_problems),
        *problem("the host has no certificate", when=not parameters.get("certificate")),
    ]


class AddLxdHost(AddCellHost):
    """The server accepts the token once."""

    name = "add_host_by_token"

    async def prepare(self, site: Site) -> CellHost:
        return site.new_lxd_host()

    async def check(self, site: Site, state: CellHost, outcome: Outcome) -> Iterable[str]:
        assert isinstance(state, FakeLxdHost)
        sent = len(state.server.seen_secrets)
        return [*await trust_problems(site, state), *problem(f"the token was sent {sent} times", when=sent != 1)]


class TrustHost(UnkeyedScenario):
    """The server presents a new certificate, and an administrator accepts it."""

    name = "trust"
    kinds = (OperationKind.REFRESH,)

    async def prepare(self, site: Site) -> CellHost:
        host = await site.add(site.new_lxd_host())
        assert isinstance(host, FakeLxdHost)
        host.server.certificate_pem = make_authority(host.name, utc_now())[1]
        return host

    async def request(self, site: Site, state: FakeLxdHost) -> Request:
        return Request(path=state.path, op="trust", fields={"fingerprint": state.server.fingerprint})

    async def known(self, site: Site, state: FakeLxdHost) -> Response | None:
        found = await site.find(state)
        if found["state"] != "ready" or not await self._is_pinned(site, state):
            return None
        return Response(answer=await site.until_ready(state))

    async def answered(self, site: Site, state: FakeLxdHost, answer: Answer) -> Response:
        return Response(answer=await site.until_ready(state))

    async def check(self, site: Site, state: FakeLxdHost, outcome: Outcome) -> Iterable[str]:
        pinned = await self._is_pinned(site, state)
        return [*await trust_problems(site, state), *problem("the new certificate is not pinned", when=not pinned)]

    async def clear(self, site: Site, state: FakeLxdHost) -> None:
        await site.remove(state)

    async def _is_pinned(self, site: Site, state: FakeLxdHost) -> bool:
        pinned = await site.fetchval("select pinned_fingerprint from vm_host where id = $1", state.host_id)
        return bool(pinned == state.server.fingerprint)


class Rotate(UnkeyedScenario):
    name = "rotate_credentials"
    kinds = (OperationKind.ROTATE,)
    waits = False
    ends = SUCCEEDS

    async def prepare(self, site: Site) -> CellHost:
        return await site.add(site.new_lxd_host())

    async def request(self, site: Site, state: CellHost) -> Request:
        return Request(path=state.path, op="rotate")

    async def known(self, site: Site, state: CellHost) -> Response | None:
        in_progress = await site.opened(OperationKind.ROTATE, state.after)
        return None if in_progress is None else Response(operation_id=in_progress)

    async def check(self, site: Site, state: CellHost, outcome: Outcome) -> Iterable[str]:
        pairs = tuple((await site.fetch(_PAIRS))[0])
        return [
            *await trust_problems(site, state),
            *problem(f"key pairs, and replacements: {pairs}", when=pairs != (1, 0)),
        ]

    async def clear(self, site: Site, state: CellHost) -> None:
        await site.remove(state)
