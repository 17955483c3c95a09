"""`region approve ID`: shows a discrepancy and its repair, asks, and approves the repair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from common.errors import InnkeeperError, WrongState
from innkeeper.arguments import Options, Usage
from innkeeper.commands.changes import Changes
from innkeeper.commands.confirmation import read_line
from innkeeper.http import Api
from innkeeper.output.terminal import Terminal
from innkeeper.profiles import Profile
from innkeeper.request_body import Body

USAGE = "usage: innkeeper [--profile PROFILE] region approve ID [--yes]"
DONE, DECLINED = 0, 1
_SHOWN = ("kind", "name", "host_name", "since", "found", "expected")


async def approve(words: Sequence[str], profile: Profile, options: Options, terminal: Terminal) -> int:
    """Returns the exit status: 0 if the repair is done, now or before; 1 if the user declined.

    The option `yes` approves without asking. Raises Usage, and the error with which the region rejects the approval.
    """
    if len(words) != 1 or not words[0].isascii() or not words[0].isdigit():
        raise Usage(USAGE)
    api, path = Api.of(profile), f"discrepancies/{words[0]}/"
    discrepancy = (await api.get(path)).json()
    if not isinstance(discrepancy, dict) or "etag" not in discrepancy:
        raise InnkeeperError("The region's response is not a discrepancy. Is the region older than this command?")
    _show(discrepancy, terminal)
    if discrepancy.get("repaired"):
        return _show_repaired(discrepancy, terminal)
    if discrepancy["repair_policy"] == "none":
        raise WrongState(f"This discrepancy has no repair to approve. {discrepancy['remedy']}")
    if options.yes:
        terminal.note(discrepancy["remedy"])
    elif not await _confirmed(discrepancy["remedy"], terminal):
        terminal.note("Nothing was changed.")
        return DECLINED
    fields = [("etag", discrepancy["etag"]), ("found", discrepancy["found"])]
    changes = Changes.of(api, options, terminal)
    repaired = (await changes.send("POST", path, query=[("op", "approve")], body=Body(fields=fields))).json()
    return _show_repaired(repaired, terminal)


def _show_repaired(discrepancy: Mapping[str, Any], terminal: Terminal) -> int:
    if terminal.wants_table:
        terminal.note(f"Done: {discrepancy['repaired']}.")
    else:
        terminal.show(discrepancy, "discrepancy")
    return DONE


def _show(discrepancy: Mapping[str, Any], terminal: Terminal) -> None:
    """Writes to standard error; standard output has only the result."""
    for name in _SHOWN:
        if discrepancy.get(name) is not None:
            terminal.note(f"{name.replace('_', ' ')}: {discrepancy[name]}")
    if discrepancy.get("data_at_risk"):
        terminal.note("The repair may lose data.")


async def _confirmed(remedy: str, terminal: Terminal) -> bool:
    """Whether the user types `yes` in full. Raises Usage if standard input is not a terminal."""
    if not terminal.stdin.isatty():
        raise Usage(f"Standard input is not a terminal. Approve without a prompt with --yes.\n{USAGE}")
    terminal.note(f"{remedy} Type yes:")
    return (await read_line(terminal.stdin)).strip().lower() == "yes"
