"""An administrator who types the commands of the guides on a machine, and looks at its services."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import PurePath
from typing import Any

from tests.pages.blocks import Block, blocks_of
from tests.pages.test_install_guide import ANSWERS
from tests.support.waiting import eventually
from tests.systemd.guest import DebianGuest
from tests.systemd.transcript import Transcript

COMMAND_S = 1800.0
INSTALL_S = 5400.0
UNITS = ("innkeeper-regiond", "innkeeper-rackd")
WARNING = 4  # as syslog counts
MARKS = ("fresh", "systemd", "restored")


class Administrator:
    def __init__(self, guest: DebianGuest, transcript: Transcript) -> None:
        self.guest = guest
        self._transcript = transcript
        self._folder = PurePath("/root")
        self._printed = ""

    def step(self, title: str) -> AbstractContextManager[None]:
        return self._transcript.step(title, self.guest.cpu_s)

    def enters(self, folder: str) -> None:
        """Later commands are typed in this folder."""
        self._folder = PurePath(folder)

    def follows(self, page: str, *sections: str) -> None:
        """Runs the blocks of these sections of a page, in their order. "" is what is above the first heading."""
        blocks = [one for one in blocks_of(page) if one.section in sections]
        assert {one.section for one in blocks} == set(sections), f"{page} has other sections"
        for block in blocks:
            if (file := block.marked("file")) is not None:
                self.guest.configure(file, block.text)
            elif block.marked("on") in MARKS:
                self._printed = self._follow(block)

    def sets(self, page: str, section: str) -> None:
        """Writes the settings of a section into their files, without its commands."""
        for block in blocks_of(page):
            if block.section == section and (file := block.marked("file")) is not None:
                self.guest.configure(file, block.text)

    def _follow(self, block: Block) -> str:
        given = "".join(answer.format(self._printed) for command, answer in ANSWERS.items() if command in block.text)
        return self.types(block.text, given=given, place=block.place)

    def types(self, script: str, *, given: str = "", place: str = "the test") -> str:
        """Returns what the commands print."""
        deadline_s = INSTALL_S if "apt-get" in script else COMMAND_S
        done = self.guest.run(f"cd {self._folder}\n{script}", given=given, deadline_s=deadline_s)
        outcome = f"no end within {deadline_s:.0f} s" if done.status is None else f"status {done.status}"
        problem = f"{place}: {outcome}\n{script}\n{done.printed[-1600:]}\n{done.errors[-3000:]}"
        assert done.status == 0, f"{problem}\n{self._diagnosis()}"
        self._transcript.typed(script, done.printed)
        return done.printed

    async def sees(self, condition: Callable[[], bool]) -> None:
        """Waits for a condition of which each look takes seconds."""
        await eventually(condition, deadline_s=COMMAND_S, every_s=5.0)

    def _diagnosis(self) -> str:
        command = (
            "systemctl --no-pager --failed; journalctl --no-pager -b -n 60 -u innkeeper-regiond -u innkeeper-rackd"
        )
        return self.guest.run(command).printed[-6000:]

    def asks(self, command: str) -> Any:
        return json.loads(self.types(f"innkeeper {command}"))

    def states(self, verb: str) -> dict[str, str]:
        """What `systemctl is-active` or `is-enabled` says of each of our units."""
        return {unit: self.types(f"systemctl {verb} {unit} || true").strip() for unit in UNITS}

    def process_of(self, unit: str) -> str:
        """The number of its main process, 0 if it does not run."""
        return self.types(f"systemctl show --property MainPID --value {unit}").strip()

    def exposures(self) -> dict[str, float]:
        """What systemd says of the confinement of our units: 0 is the best, 10 the worst."""
        found = {}
        for unit in UNITS:
            said = self.types(f"systemd-analyze security --no-pager {unit}.service | tail -n 1")
            level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
            assert level is not None, said
            found[unit] = float(level[1])
        return found

    def troubles(self) -> list[str]:
        """Lines of our units' journal since the machine's start that are warnings, worse, or no log entries."""
        printed = self.types(
            "journalctl --no-pager --boot --output=json --output-fields=MESSAGE,PRIORITY,_COMM,UNIT"
            + "".join(f" --unit={unit}" for unit in UNITS)
        )
        return list(_troubles(json.loads(line) for line in printed.splitlines()))


def _troubles(entries: Iterable[Any]) -> Iterable[str]:
    """Entries of systemd about a unit have the field UNIT."""
    for entry in entries:
        message = entry["MESSAGE"]
        if int(entry["PRIORITY"]) <= WARNING or not ("UNIT" in entry or message.startswith("{")):
            yield message
