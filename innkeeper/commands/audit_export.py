"""The command `region audit export`: prints the audit trail as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from innkeeper.arguments import Given
from innkeeper.commands.api_commands import value_of
from innkeeper.http import Api
from innkeeper.output.terminal import Terminal
from innkeeper.profiles import Profile

PAGE = 1000
FIELDS = ("after",)


async def export(fields: Sequence[Given], profile: Profile, terminal: Terminal) -> None:
    """Prints every row after the id `after`, oldest first, one page of the API at a time."""
    api = Api.of(profile)
    after = next((str(value_of(given)) for given in fields), "0")
    while rows := await _page(api, after):
        for row in rows:
            terminal.say(json.dumps(row, ensure_ascii=False, separators=(",", ":")))
        after = str(rows[-1]["id"])


async def _page(api: Api, after: str) -> list[Any]:
    query = [("op", "export"), ("after", after), ("limit", str(PAGE))]
    found: list[Any] = (await api.send("GET", "audit/", query=query)).json()
    return found
