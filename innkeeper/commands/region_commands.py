"""The commands `region check`, `repaired`, `approve` and `audit export`, for operators and monitoring."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from common.errors import InnkeeperError, NotAllowed, NotFound
from innkeeper.arguments import Given, Options, Usage, check_known
from innkeeper.commands import audit_export
from innkeeper.commands.api_commands import value_of
from innkeeper.commands.approval import approve
from innkeeper.http import Api
from innkeeper.output.terminal import Terminal
from innkeeper.profiles import Profile, Profiles

USAGE = (
    "usage: innkeeper [--profile PROFILE] region check [host=ID] [kind=KIND] [machine=SYSTEM_ID] | "
    "region repaired | region approve ID [--yes] | region audit export [after=ID] | "
    "region admin create [--username NAME]"
)
KNOWN_FIELDS = {"check": ("host", "kind", "machine"), "repaired": ()}
CONSISTENT, DISCREPANCIES, CHECK_FAILED = 0, 1, 2


async def region(
    words: Sequence[str], fields: Sequence[Given], options: Options, profiles: Profiles, terminal: Terminal
) -> int:
    """Returns the exit status. Of `check`: 0 without discrepancies, 1 with some, 2 if the region cannot be queried."""
    if list(words[:1]) == ["approve"] and not fields:
        return await approve(words[1:], profiles.chosen(options.profile), options, terminal)
    if options.idempotency_key is not None:
        raise Usage(f"--idempotency-key does not apply to region {' '.join(words)}.")
    if list(words) == ["audit", "export"]:
        check_known(fields, audit_export.FIELDS, of="region audit export", usage=USAGE)
        await audit_export.export(fields, profiles.chosen(options.profile), terminal)
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
    """What a verification of the audit trail finds; nothing without the right to ask, or of a region without one."""
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
