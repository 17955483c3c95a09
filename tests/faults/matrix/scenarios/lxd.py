"""LXD servers that come to trust us, that prove themselves anew, and whose credentials change."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import define

from common.certificates import make_authority, utc_now
from regiond.operations.model import OperationKind
from tests.faults.matrix.caller import asked
from tests.faults.matrix.inn import Inn
from tests.faults.matrix.scenario import SUCCEEDS, Asked, Told
from tests.faults.matrix.scenarios import passing
from tests.faults.matrix.scenarios.hosts import OfHosts, ask_for_host
from tests.faults.matrix.scenarios.passing import Passing
from tests.lxd_double import FakeLxd

_PAIRS = "select count(*), count(replaces_id) from key_pair"  # no other host of the cell has one


@define(kw_only=True)
class LxdHost(Passing):
    server: FakeLxd

    @classmethod
    def new(cls, inn: Inn) -> LxdHost:
        """With a token for the first one who comes."""
        name = inn.new_name("lxd")
        server = inn.watched.lxd_servers[name] = FakeLxd(name=name)
        inn.passing.add(name)
        fields = {"type": "lxd", "power_address": name, "name": name, "password": server.token()}
        return cls(name=name, fields=fields, server=server)


class OfLxd(OfHosts):
    async def clear(self, inn: Inn, ground: LxdHost) -> None:
        await passing.remove(inn, ground)
        del inn.watched.lxd_servers[ground.name]

    async def trusts_one(self, inn: Inn, ground: LxdHost) -> list[str]:
        """One certificate of ours is on its list, and it is the one that we use."""
        told = await passing.find(inn, ground)
        if told is None:
            return ["there is no host"]
        trusted = list(ground.server.trusted)
        used = (await inn.installed.get(f"vm-hosts/{told['id']}/", op="parameters")).get("certificate")
        return [
            *await passing.is_there(inn, ground),
            *([] if len(trusted) == 1 else [f"the server trusts {len(trusted)} certificates"]),
            *([] if used else ["the host has no certificate"]),
            *([] if ground.server.used[-1:] == trusted[-1:] else ["another certificate is used than the trusted one"]),
        ]


class AddLxd(OfLxd):
    """The server is made to trust us by a token that is good once."""

    name = "add_host_by_token"
    kinds = (OperationKind.REFRESH,)

    async def prepare(self, inn: Inn) -> LxdHost:
        return LxdHost.new(inn)

    async def ask(self, inn: Inn, ground: LxdHost, key: str) -> Asked:
        return await ask_for_host(inn, ground, key)

    async def check(self, inn: Inn, ground: LxdHost, told: Told) -> Iterable[str]:
        sent = len(ground.server.seen_secrets)
        return [*await self.trusts_one(inn, ground), *([] if sent == 1 else [f"the token was sent {sent} times"])]


class Trust(OfLxd):
    """A server has another certificate than before, and a person accepts it."""

    name = "trust"
    kinds = (OperationKind.REFRESH,)

    async def prepare(self, inn: Inn) -> LxdHost:
        host = LxdHost.new(inn)
        await passing.add(inn, host)
        host.server.certificate_pem = make_authority(host.name, utc_now())[1]
        return host

    async def ask(self, inn: Inn, ground: LxdHost, key: str) -> Asked:
        told = await passing.find(inn, ground)
        if told["state"] != "ready" or not await self._is_pinned(inn, ground):
            shown = ground.server.fingerprint
            await passing.send(inn, "POST", ground.path, key, op="trust", fingerprint=shown)
        return Asked(answer=await passing.until_ready(inn, ground))

    async def check(self, inn: Inn, ground: LxdHost, told: Told) -> Iterable[str]:
        pinned = await self._is_pinned(inn, ground)
        return [*await self.trusts_one(inn, ground), *([] if pinned else ["the new certificate is not the pinned one"])]

    async def _is_pinned(self, inn: Inn, ground: LxdHost) -> bool:
        pinned = await inn.db.fetchval("select pinned_fingerprint from vm_host where id = $1", ground.host_id)
        return bool(pinned == ground.server.fingerprint)


class Rotate(OfLxd):
    name = "rotate_credentials"
    kinds = (OperationKind.ROTATE,)
    ends = SUCCEEDS

    async def prepare(self, inn: Inn) -> LxdHost:
        host = LxdHost.new(inn)
        await passing.add(inn, host)
        return host

    async def ask(self, inn: Inn, ground: LxdHost, key: str) -> Asked:
        under_way = await passing.opened(inn, OperationKind.ROTATE, ground.after)
        if under_way is not None:
            return Asked(operation_id=under_way)
        return asked(await passing.begin(inn, "POST", ground.path, key, op="rotate"))

    async def check(self, inn: Inn, ground: LxdHost, told: Told) -> Iterable[str]:
        pairs = tuple((await inn.db.fetch(_PAIRS))[0])
        return [
            *await self.trusts_one(inn, ground),
            *([] if pairs == (1, 0) else [f"key pairs, and replacing: {pairs}"]),
        ]
