"""The commands `region check`, `repaired`, `approve` and `audit export`, for operators and monitoring."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from common.errors import InnkeeperError, NotAllowed, NotFound, WrongState
from innkeeper.arguments import Given, Options, Usage, check_known
from innkeeper.commands.api_commands import value_of
from innkeeper.commands.changes import Changes
from innkeeper.commands.confirmation import read_line
from innkeeper.http import Api
from innkeeper.output.terminal import Terminal
from innkeeper.profiles import Profile, Profiles
from innkeeper.request_body import Body

USAGE = (
    "usage: innkeeper [--profile PROFILE] region check [host=ID] [kind=KIND] [machine=SYSTEM_ID] | "
    "region repaired | region approve ID [--yes] | region audit export [after=ID] | "
    "region admin create [--username NAME]"
)
KNOWN_FIELDS = {"check": ("host", "kind", "machine"), "repaired": ()}
CONSISTENT, DISCREPANCIES, CHECK_FAILED = 0, 1, 2
DONE, DECLINED = 0, 1
_USAGE_OF_APPROVE = "usage: innkeeper [--profile PROFILE] region approve ID [--yes]"
_SHOWN_OF_APPROVE = ("kind", "name", "host_name", "since", "found", "expected")
_EXPORTED_AT_ONCE = 1000


async def region(
    words: Sequence[str], fields: Sequence[Given], options: Options, profiles: Profiles, terminal: Terminal
) -> int:
    """Returns the exit status. Of `check`: 0 without discrepancies, 1 with some, 2 if the region cannot be queried."""
    if list(words[:1]) == ["approve"] and not fields:
        return await _approve(words[1:], profiles.chosen(options.profile), options, terminal)
    if options.idempotency_key is not None:
        raise Usage(f"--idempotency-key does not apply to region {' '.join(words)}.")
    if list(words) == ["audit", "export"]:
        check_known(fields, ("after",), of="region audit export", usage=USAGE)
        await _export(fields, profiles.chosen(options.profile), terminal)
        return CONSISTENT
    if list(words) not in (["check"], ["repaired"]):
        raise Usage(USAGE)
    check_known(fields, KNOWN_FIELDS[words[0]], of=f"region {words[0]}", usage=USAGE)
    try:
        profile = profiles.chosen(options.profile)
        if words[0] == "repaired":
            terminal.show(await _fetch(fields, profile, op="repaired"), "repaired")
            return CONSISTENT
        found = await _fetch(fields, profile)
        repaired = await _fetch((), profile, op="repaired") if terminal.wants_table else []
        of_audit = () if fields else await _audit_problems(profile)
    except InnkeeperError as error:
        terminal.show_error(error)
        return CHECK_FAILED
    if terminal.wants_table:
        _show(found, repaired, terminal)
    else:
        terminal.show(found, "discrepancies")
    for problem in of_audit:
        terminal.note(f"The audit trail is damaged. {problem}")
    return DISCREPANCIES if found or of_audit else CONSISTENT


def _show(found: Sequence[Any], repaired: Sequence[Any], terminal: Terminal) -> None:
    if found:
        terminal.show(found, "discrepancies")
        terminal.note(_summary(found))
    else:
        terminal.note("No discrepancies: the ledger and the hosts agree.")
    if repaired:
        terminal.note("Repaired within the last day:")
        terminal.show(repaired, "repaired")


def _summary(found: Sequence[Any]) -> str:
    """Such as `3 discrepancies, 1 needs approval, 2 are repaired automatically.`."""
    counts = {policy: sum(one.get("repair_policy") == policy for one in found) for policy in _POLICY_TEXTS}
    parts = [f"{count} {_POLICY_TEXTS[policy][count != 1]}" for policy, count in counts.items() if count]
    return ", ".join([f"{len(found)} discrepanc{'y' if len(found) == 1 else 'ies'}", *parts]) + "."


_POLICY_TEXTS = {
    "approval": ("needs approval", "need approval"),
    "automatic": ("is repaired automatically", "are repaired automatically"),
    "none": ("is only reported", "are only reported"),
}


async def _audit_problems(profile: Profile) -> Sequence[str]:
    """Returns what a verification of the audit trail finds; nothing without the right to ask, or without a trail."""
    try:
        answer = await Api.of(profile).send("GET", "audit/", query=[("op", "verify")])
    except (NotAllowed, NotFound):
        return ()
    return [str(problem) for problem in answer.json()["problems"]]


async def _fetch(fields: Sequence[Given], profile: Profile, *, op: str | None = None) -> list[Any]:
    query = [("op", op)] if op is not None else []
    query += [(given.name, str(value_of(given))) for given in fields]
    found = (await Api.of(profile).send("GET", "discrepancies/", query=query)).json()
    if not isinstance(found, list):
        raise InnkeeperError("The region's response is not a list of discrepancies. Is it older than this command?")
    return found


async def _approve(words: Sequence[str], profile: Profile, options: Options, terminal: Terminal) -> int:
    """Returns the exit status: 0 if the repair is done, now or before; 1 if the user declined.

    The option `yes` approves without asking. Raises Usage, and the error with which the region rejects the approval.
    """
    if len(words) != 1 or not words[0].isascii() or not words[0].isdigit():
        raise Usage(_USAGE_OF_APPROVE)
    api, path = Api.of(profile), f"discrepancies/{words[0]}/"
    discrepancy = (await api.get(path)).json()
    if not isinstance(discrepancy, dict) or "etag" not in discrepancy:
        raise InnkeeperError("The region's response is not a discrepancy. Is the region older than this command?")
    _show_discrepancy(discrepancy, terminal)
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


def _show_discrepancy(discrepancy: Mapping[str, Any], terminal: Terminal) -> None:
    """Writes to standard error; standard output has only the result."""
    for name in _SHOWN_OF_APPROVE:
        if discrepancy.get(name) is not None:
            terminal.note(f"{name.replace('_', ' ')}: {discrepancy[name]}")
    if discrepancy.get("data_at_risk"):
        terminal.note("The repair may lose data.")


async def _confirmed(remedy: str, terminal: Terminal) -> bool:
    """Whether the user types `yes` in full. Raises Usage if standard input is not a terminal."""
    if not terminal.stdin.isatty():
        raise Usage(f"Standard input is not a terminal. Approve without a prompt with --yes.\n{_USAGE_OF_APPROVE}")
    terminal.note(f"{remedy} Type yes:")
    return (await read_line(terminal.stdin)).strip().lower() == "yes"


async def _export(fields: Sequence[Given], profile: Profile, terminal: Terminal) -> None:
    """Prints every row after the id `after`, oldest first, one page of the API at a time."""
    api = Api.of(profile)
    after = next((str(value_of(given)) for given in fields), "0")
    while rows := await _page(api, after):
        for row in rows:
            terminal.say(json.dumps(row, ensure_ascii=False, separators=(",", ":")))
        after = str(rows[-1]["id"])


async def _page(api: Api, after: str) -> list[Any]:
    query = [("op", "export"), ("after", after), ("limit", str(_EXPORTED_AT_ONCE))]
    found: list[Any] = (await api.send("GET", "audit/", query=query)).json()
    return found
