"""A machine becomes a rack, with a token that is good once."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from common.errors import InnkeeperError
from rackd.joining import join
from regiond.operations.model import OperationKind
from tests.faults.matrix.inn import Inn
from tests.faults.matrix.scenario import Asked, Told
from tests.faults.matrix.scenarios.hosts import OfHosts

_OF_NAME = "select count(*) from rack where name = $1 and removed_at is null"


@frozen(kw_only=True)
class Newcomer:
    name: str


class JoinRack(OfHosts):
    """Whoever heard no answer joins again under the same name, with a token of its own."""

    name = "join_rack"
    kinds: tuple[OperationKind, ...] = ()

    async def prepare(self, inn: Inn) -> Newcomer:
        return Newcomer(name=inn.new_name("newcomer"))

    async def ask(self, inn: Inn, ground: Newcomer, key: str) -> Asked:
        settings = inn.rack_settings(ground.name)
        if not any(settings.identity_folder.glob("*")):  # nothing of one is kept
            made = await inn.installed.post("racks/", op="token")
            await join(made["token"], settings.identity_folder, ground.name)
        return Asked(answer=ground.name)

    async def check(self, inn: Inn, ground: Newcomer, told: Told) -> Iterable[str]:
        """It can do what racks do, once, and is refused when it was removed."""
        try:
            await inn.start_rack(ground.name)
        except (InnkeeperError, AssertionError, OSError) as error:
            return [f"who has joined does not get in: {error}"]
        racks = await inn.db.fetchval(_OF_NAME, ground.name)
        return [] if racks == 1 else [f"{racks} racks have its name"]

    async def clear(self, inn: Inn, ground: Newcomer) -> None:
        await inn.bury_rack(ground.name)
        for rack in await inn.installed.get("racks/"):
            if rack["name"] == ground.name:
                await inn.installed.delete(f"racks/{rack['id']}/")
