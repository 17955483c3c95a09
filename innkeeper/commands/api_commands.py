"""`innkeeper PROFILE RESOURCE ACTION …`: sends a request, shows the response, waits on request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from attrs import evolve

from common.errors import InnkeeperError, InvalidRequest
from innkeeper.answer import Answer
from innkeeper.api_description import Description, read_description
from innkeeper.arguments import MAX_KEY_OF_SEVERAL_CHARS, ApiCall, Given, Options, Usage, parse_calls
from innkeeper.commands.audit_redaction import completed, is_redaction
from innkeeper.commands.bulk import Bulk, Result
from innkeeper.commands.changes import Changes
from innkeeper.commands.confirmation import confirmed_with, is_confirmed, plan_lines
from innkeeper.commands.console import attach, is_console
from innkeeper.commands.downloads import check_output, download
from innkeeper.commands.event_stream import follow
from innkeeper.commands.filters import Selection, Target, parse_selection
from innkeeper.commands.follower import Follower
from innkeeper.commands.images import downloaded, starts_download, upload, uploaded_file
from innkeeper.commands.operation_wait import notes_of, outcome_of, wait_for_operation
from innkeeper.commands.watching import watch, watched
from innkeeper.http import Api, relative_path
from innkeeper.output.progress import Report
from innkeeper.output.terminal import Terminal
from innkeeper.profiles import Profile, Profiles
from innkeeper.request_body import Body

T = TypeVar("T")

DONE, DECLINED, REFUSED = 0, 1, 1
RESPOND_ASYNC = {"Prefer": "respond-async"}
DESCRIBE_TIMEOUT_S = 30.0


async def call(profile: Profile, words: Sequence[str], options: Options, profiles: Profiles, terminal: Terminal) -> int:
    """Executes the command and shows the result. Returns the exit status: 1 if the user declined.

    On a terminal, a command that deletes shows first what it deletes, and asks. Of several objects, one that fails
    is a row of the result and makes the status 1. Raises Usage, or the error of the request or of its operation.
    """
    api = Api.of(profile)
    if options.filters:
        return await _call_selected(api, profile, words, options, profiles, terminal)
    calls, profile = await parsed(api, profile, profiles, lambda known: _parse(known, words, options))
    if len(calls) > 1:
        return await _bulk(api, [Target(call=one) for one in calls], options, terminal).run()
    wanted = calls[0]
    if options.dry_run:
        return await _show_dry_run(api, wanted, terminal)
    if wanted.is_destructive and terminal.stdin.isatty() and not options.yes:
        plans = [await plan_of(api, wanted)] if wanted.action.dry_run else []
        if not await is_confirmed(wanted.command, plans, terminal):
            terminal.note("Nothing was changed.")
            return DECLINED
        wanted = wanted.confirmed(confirmed_with(plans))
    if (
        options.output
        or wanted.action.stream
        or options.view.watch_s is not None
        or uploaded_file(wanted)
        or is_console(wanted)
    ):
        return await _call_repeatedly(api, wanted, options, terminal)
    waits = _waits(options, terminal)
    terminal = evolve(terminal, has_acted=wanted.action.method != "GET")
    follower = Follower(api=api, profile_name=profile.name, terminal=terminal)
    try:
        sender = Changes.of(api, options, terminal) if wanted.takes_key else api
        answer = await send(sender, wanted, asynchronous=waits or options.wait is False)
    except InnkeeperError as error:
        follower.note_pending(error)
        raise
    for warning in answer.warnings:
        terminal.note(f"Note: {warning}")
    await _update_description(api, profile, answer, profiles)
    if waits and starts_download(wanted):
        terminal.show(await downloaded(api, answer.json(), terminal), wanted.command)
    elif is_redaction(wanted):
        whole = await completed(answer, wanted, lambda one: send(api, one, asynchronous=False), terminal)
        terminal.show(whole, wanted.command)
    elif waits:
        await follower.show_outcome(answer, wanted.command)
    else:
        terminal.show_answer(answer, "operations" if answer.status == 202 else wanted.command)
        follower.note_started(answer)
    return DONE


async def _to_file(api: Api, wanted: ApiCall, path: Path, sender: Api | Changes, terminal: Terminal) -> int:
    """Starts the export, if that is the call, waits for its file and downloads it."""
    if wanted.action.method == "GET":
        entry = (await api.get(wanted.path)).json()
    else:
        terminal = evolve(terminal, has_acted=True)
        entry = (await send(sender, wanted, asynchronous=False)).json()
    terminal.show(await download(api, entry, path, terminal), wanted.command)
    return DONE


async def _call_repeatedly(api: Api, wanted: ApiCall, options: Options, terminal: Terminal) -> int:
    """Uploads, downloads, connects, or shows what changes. Returns the exit status; mostly Ctrl-C ends it before."""
    if options.output is not None:
        sender = Changes.of(api, options, terminal) if wanted.takes_key else api
        return await _to_file(api, wanted, Path(options.output), sender, terminal)
    if (path := uploaded_file(wanted)) is not None:
        await upload(api, wanted, path, terminal, waits=options.wait is not False)
        return DONE
    if is_console(wanted):
        await attach(api, wanted, terminal)
        return DONE
    if wanted.action.stream:
        await follow(api, wanted, options, terminal)
        return DONE
    return await watch(lambda: send(api, wanted, asynchronous=False), watched(wanted, options), terminal)


async def parsed(
    api: Api, profile: Profile, profiles: Profiles, parse: Callable[[Description], T]
) -> tuple[T, Profile]:
    """Returns what `parse` makes of the stored description, and the profile with the description that defines it.

    If `parse` rejects the stored description, fetches the region's current one once: it may be newer. The region of
    this machine has none stored.
    """
    if not profile.description:
        profile = await fetched(api, profile)
    try:
        return parse(read_description(profile.description)), profile
    except (Usage, InvalidRequest):
        try:
            fresh = await fetched(api, profile)
        except InnkeeperError:
            fresh = profile
        if fresh.description == profile.description:
            raise
    profiles.update(fresh)
    return parse(read_description(fresh.description)), fresh


def _parse(description: Description, words: Sequence[str], options: Options) -> tuple[ApiCall, ...]:
    calls = parse_calls(description, words)
    _check_key(calls[0], options, several=len(calls) > 1)
    check_output(calls[0], options, several=len(calls) > 1)
    return calls


def _parse_selection(description: Description, words: Sequence[str], options: Options) -> Selection:
    selection = parse_selection(description, words, options.filters)
    _check_key(selection.template, options, several=True)
    check_output(selection.template, options, several=True)
    return selection


def _check_key(wanted: ApiCall, options: Options, *, several: bool) -> None:
    """Raises Usage if a key is given that the command would not send, or too long a one for `several` objects."""
    if options.idempotency_key is None:
        return
    if uploaded_file(wanted) is not None:
        raise Usage("An upload takes no --idempotency-key: the repeated command continues it.")
    if not wanted.takes_key:
        raise Usage(f"{wanted.command} takes no --idempotency-key: it changes nothing.")
    if several and len(options.idempotency_key) > MAX_KEY_OF_SEVERAL_CHARS:
        raise Usage(
            f"The --idempotency-key of several objects has at most {MAX_KEY_OF_SEVERAL_CHARS} characters, because the "
            f"key of each ends with its path; this one has {len(options.idempotency_key)}."
        )


async def plan_of(api: Api, wanted: ApiCall) -> Any:
    """The answer to the dry run of the call: what it would delete and keep, or where compose would place a machine."""
    return (await send(api, wanted.as_dry_run(), asynchronous=False)).json()


async def _show_dry_run(api: Api, wanted: ApiCall, terminal: Terminal) -> int:
    """Returns the exit status: 1 if no host fits, as without the dry run."""
    plan = await plan_of(api, wanted)
    if terminal.wants_table and isinstance(plan, dict) and "deleted" in plan:
        terminal.say("\n".join(plan_lines(wanted.command, plan)))
    else:
        terminal.show(plan, wanted.command)
    if isinstance(plan, dict) and plan.get("chosen", "") is None:
        terminal.note("No host fits: nothing would be composed.")
        return REFUSED
    return DONE


async def _call_selected(
    api: Api, profile: Profile, words: Sequence[str], options: Options, profiles: Profiles, terminal: Terminal
) -> int:
    """Executes the command for each object that matches the filters."""
    selection, _ = await parsed(
        api, profile, profiles, lambda description: _parse_selection(description, words, options)
    )
    targets = selection.targets((await send(api, selection.listing, asynchronous=False)).json())
    if not targets:
        terminal.note(f"No object of {selection.listing.resource.command} matches the filters.")
        return DONE
    return await _bulk(api, targets, options, terminal).run()


def _waits(options: Options, terminal: Terminal) -> bool:
    """Whether the command waits for operations: by default if a person reads the result."""
    return terminal.out.isatty() if options.wait is None else options.wait


def _bulk(api: Api, targets: Sequence[Target], options: Options, terminal: Terminal) -> Bulk:
    waits = _waits(options, terminal)
    changes = Changes.of(api, options, terminal)

    async def carry_out(wanted: ApiCall) -> Result:
        sender = changes.of_object(wanted.path) if wanted.takes_key else api
        answer = await send(sender, wanted, asynchronous=waits or options.wait is False)
        if wanted.action.method == "GET":
            return Result(value=answer.json(), notes=answer.warnings)
        if answer.status != 202:
            return Result(value="done", notes=answer.warnings)
        path = relative_path(answer.location or str(answer.json().get("resource_uri", "")))
        if not waits:
            return Result(value=f"operation {_number(path)}", notes=answer.warnings)
        ended = await wait_for_operation(api, path, _NoProgress())
        await outcome_of(api, ended)
        return Result(value="done", notes=(*answer.warnings, *notes_of(ended)))

    async def plan(wanted: ApiCall) -> Any:
        return await plan_of(api, wanted)

    return Bulk(targets=targets, plan_of=plan, carry_out=carry_out, options=options, terminal=terminal)


class _NoProgress:
    """Several operations run at a time: only their results are shown."""

    def begin(self, text: str) -> None:
        pass

    def report(self, report: Report) -> None:
        pass

    def end(self) -> None:
        pass


async def fetched(api: Api, profile: Profile) -> Profile:
    """Returns the profile with the region's current description."""
    plain = (await api.get("describe/", deadline_s=DESCRIBE_TIMEOUT_S)).json()
    read_description(plain)
    return evolve(profile, description=plain)


async def send(sender: Api | Changes, wanted: ApiCall, *, asynchronous: bool) -> Answer:
    """Sends the request of the call; `asynchronous` requests the operation instead of its result."""
    fields = [(given.name, value_of(given)) for given in wanted.fields]
    op = [("op", wanted.action.op)] if wanted.action.op else []
    in_query = wanted.fields_in_query
    return await sender.send(
        wanted.action.method,
        wanted.path,
        query=[*op, *fields] if in_query else op,
        body=None if in_query else Body(fields=fields),
        headers=RESPOND_ASYNC if asynchronous and wanted.action.method != "GET" else None,
    )


def value_of(given: Given) -> str | bytes:
    """The value, read from its file if given so; text if the file is UTF-8. Raises InvalidRequest."""
    if not given.from_file:
        return given.value
    try:
        data = Path(given.value).read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{given.name}: cannot read {given.value}: {error.strerror}.") from error
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data


def _number(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


async def _update_description(api: Api, profile: Profile, answer: Answer, profiles: Profiles) -> None:
    known: Description = read_description(profile.description)
    if answer.description_hash in {None, known.hash} or not profile.description:
        return
    # The request itself has succeeded; the next command tries again to fetch the description.
    try:
        profiles.update(await fetched(api, profile))
    except InnkeeperError:
        return
