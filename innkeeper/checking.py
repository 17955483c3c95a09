"""`region check`: where ledger and hosts differ, for people and for whatever watches the exit status.

`region mended`: what was mended lately. `region approve ID`: see `innkeeper.approving`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from common.errors import InnkeeperError
from innkeeper.approving import approve
from innkeeper.arguments import Given, Options, Usage
from innkeeper.calls import value_of
from innkeeper.http import Api
from innkeeper.profiles import Profile, Profiles
from innkeeper.terminal import Terminal

USAGE = (
    "usage: innkeeper [--profile PROFILE] region check [host=ID] [kind=KIND] | region mended | "
    "region approve ID [--yes]"
)
NO_DIFFERENCE, DIFFERENCES, NOT_ASKED = 0, 1, 2
_BY = {
    "itself": "mended by themselves when two sweeps have seen them",
    "approval": "wait for a person",
    "nobody": "are only told",
}


async def region(
    words: Sequence[str], fields: Sequence[Given], options: Options, profiles: Profiles, terminal: Terminal
) -> int:
    """Print every difference; the exit status says whether there is one, or that the region could not be asked."""
    if list(words[:1]) == ["approve"] and not fields:
        return await approve(words[1:], profiles.chosen(options.profile), terminal, yes=options.yes)
    if list(words) not in (["check"], ["mended"]):
        raise Usage(USAGE)
    try:
        profile = profiles.chosen(options.profile)
        if words[0] == "mended":
            terminal.show(await _ask(fields, profile, op="mended"), "mended")
            return NO_DIFFERENCE
        found = await _ask(fields, profile)
        mended = await _ask((), profile, op="mended") if terminal.wants_table else []
    except InnkeeperError as error:
        terminal.complain(error)
        return NOT_ASKED
    if terminal.wants_table:
        _tell(found, mended, terminal)
    else:
        terminal.show(found, "differences")
    return DIFFERENCES if found else NO_DIFFERENCE


def _tell(found: Sequence[Any], mended: Sequence[Any], terminal: Terminal) -> None:
    if found:
        terminal.show(found, "differences")
        for by, what in _BY.items():
            count = sum(one.get("mended_by") == by for one in found)
            if count:
                terminal.note(f"{count} of {len(found)} {what}.")
    else:
        terminal.note("Ledger and hosts agree.")
    if mended:
        terminal.note("Mended within the last day:")
        terminal.show(mended, "mended")


async def _ask(fields: Sequence[Given], profile: Profile, *, op: str | None = None) -> list[Any]:
    query = [("op", op)] if op is not None else []
    query += [(given.name, str(value_of(given))) for given in fields]
    found = (await Api(profile.url, profile.key).send("GET", "differences/", query=query)).json()
    if not isinstance(found, list):
        raise InnkeeperError("The region's answer is no list of differences: is it older than this command?")
    return found
