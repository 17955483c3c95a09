"""The guides to install Innkeeper, block by block in their order, on a new Debian machine.

Takes ten minutes on an idle machine: packages of Debian and Python are installed as the guide says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from attrs import define, evolve

from tests.lab.servers.needs import require
from tests.pages.blocks import GUIDES, Block, blocks_of
from tests.pages.fresh_machine import FreshMachine, why_no_fresh_machine, why_no_packages
from tests.support.certificate_pairs import make_pair
from tests.support.waiting import eventually

pytestmark = [pytest.mark.lab]

BACKUP = "docs/how-to/backup.md"
MOMENT = "2026-11-25 12:00:00 UTC"  # in that page
NOTHING: Mapping[str, str] = {}
INSTALLS = ("apt-get ", "pip install ")
INSTALL_S = 900.0
COMMAND_S = 300.0  # on a busy computer; a restart and its first refresh take seconds
PASSWORD = "ruddy-otter-47-lanterns"  # noqa: S105
# What a person enters at a command of a block; {} is what the block before has printed.
ANSWERS = {
    "region init": f"{PASSWORD}\n",
    "rack join -": "{}",
    r"\password": f"{PASSWORD}\n{PASSWORD}\n",
    "regiond password": f"new-{PASSWORD}\n",
}
OF_THE_SECOND_REGION = (
    f"postgresql://innkeeper-regiond:{PASSWORD}@db.example.net/innkeeper"
    "?sslmode=verify-full&sslrootcert=/etc/innkeeper/postgresql.crt"
)


@define
class Reader:
    """Types the commands of the pages as root, and enters what they ask for."""

    machine: FreshMachine
    _printed: str = ""

    def follow(self, page: str, on: str = "fresh", *, replaced: Mapping[str, str] = NOTHING) -> None:
        """Types the commands for a machine in that state, with the words of `replaced` replaced."""
        for block in blocks_of(page):
            if (file := block.marked("file")) is not None and on == "fresh":
                self.machine.configure(file, block.text)
            elif block.marked("on") == on:
                for word, other in replaced.items():
                    block = evolve(block, text=block.text.replace(word, other))  # noqa: PLW2901
                self._printed = self._follow(block)

    def _follow(self, block: Block) -> str:
        given = "".join(answer.format(self._printed) for command, answer in ANSWERS.items() if command in block.text)
        installs = any(command in block.text for command in INSTALLS)
        return self.types(block.text, given=given, network=installs, place=block.place)

    def types(self, script: str, *, given: str = "", network: bool = False, place: str = "the test") -> str:
        """Returns what the commands print."""
        deadline_s = INSTALL_S if network else COMMAND_S
        done = self.machine.run(script, given=given, network=network, deadline_s=deadline_s)
        outcome = f"no end within {deadline_s:.0f} s" if done.status is None else f"status {done.status}"
        assert done.status == 0, f"{place}: {outcome}\n{script}\n{done.printed[-1600:]}\n{done.errors[-1600:]}"
        return done.printed

    def asks(self, command: str) -> Any:
        return json.loads(self.types(f"innkeeper {command}"))


@pytest.fixture
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    require(why_no_fresh_machine())
    require(why_no_packages())
    machine = FreshMachine(tmp_path_factory.mktemp("fresh"))
    try:
        machine.start()
        yield Reader(machine)
    finally:
        machine.stop()


@pytest.mark.deadline(3600)
async def test_the_guides_lead_from_an_empty_debian_to_a_vm(reader: Reader) -> None:
    pair = make_pair("region.example.net")
    reader.machine.write("fullchain.pem", pair.certificate_pem)
    reader.machine.write("privkey.pem", pair.key_pem)
    for page in GUIDES:
        reader.follow(page)
        if page == BACKUP:
            await _lose_and_restore(reader)
    await eventually(lambda: _is_ready(reader), deadline_s=60.0, every_s=1.0)
    (host,) = reader.asks("vm-hosts read")
    assert (host["name"], host["problems"]) == ("local", [])
    (machine,) = reader.asks("machines read")
    assert (machine["hostname"], machine["status_name"], machine["power_state"]) == ("web-1", "Allocated", "on")

    def linked() -> bool:
        (rack,) = reader.asks("racks read")
        return rack["connected"] and len(rack["regions"]) == 2

    await eventually(linked)
    assert reader.asks("region check") == []

    # From another machine, and when something was lost.
    url = "https://region.example.net:5240/MAAS"
    reader.types(f"innkeeper login lab {url} --username admin --fingerprint {pair.fingerprint}", given=f"{PASSWORD}\n")
    assert reader.asks("lab users whoami")["username"] == "admin"
    reader.types("regiond password admin", given=f"new-{PASSWORD}\n")
    reader.types("install -m 644 -T /etc/postgresql/15/main/region.crt /etc/innkeeper/postgresql.crt")
    key = reader.types(f"INNKEEPER_DATABASE='{OF_THE_SECOND_REGION}' regiond apikey admin")
    reader.types(f"innkeeper login other {url} - --fingerprint {pair.fingerprint}", given=key)
    assert reader.asks("--profile other region check") == []


def _is_ready(reader: Reader) -> bool:
    """Whether the one host is: not before its first refresh, where a guide has restarted the region."""
    return [host["state"] for host in reader.asks("vm-hosts read")] == ["ready"]


async def _lose_and_restore(reader: Reader) -> None:
    """The region is lost and restored, moves to a database and a folder of another machine, and returns to a moment."""

    def zones() -> set[str]:
        return {zone["name"] for zone in reader.asks("zones read")} - {"default"}

    async def back() -> None:
        await eventually(lambda: _is_ready(reader), deadline_s=60.0, every_s=1.0)
        (machine,) = reader.asks("machines read")
        assert (machine["hostname"], machine["power_state"]) == ("web-1", "on")

    reader.types("innkeeper zones create name=since")
    _lose(reader)
    reader.follow(BACKUP, "restored")
    assert zones() == set()
    await back()
    reader.types("innkeeper zones create name=moved")
    reader.follow(BACKUP, "moved")
    _lose(reader)
    reader.follow(BACKUP, "moved-to")
    assert zones() == {"moved"}
    await back()
    reader.follow(BACKUP, "archived")
    reader.types("innkeeper zones create name=archived")
    moment = reader.types("date -u '+%F %T.%N UTC'").strip()
    reader.types("innkeeper zones create name=later")
    reader.follow(BACKUP, "recovered", replaced={MOMENT: moment})
    assert zones() == {"moved", "archived"}
    await back()


def _lose(reader: Reader) -> None:
    reader.types("systemctl stop innkeeper-regiond; runuser -l postgres -c 'dropdb innkeeper'")
    reader.types("rm -rf /var/lib/innkeeper-regiond")
