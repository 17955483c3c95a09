"""`innkeeper PROFILE RESOURCE ACTION …`: sends a request, shows the response, waits on request."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from attrs import evolve

from common.errors import InnkeeperError, InvalidRequest
from innkeeper.api_description import Description, read_description
from innkeeper.arguments import ApiCall, Given, Options, Usage, parse_call
from innkeeper.confirmation import is_confirmed, plan_lines
from innkeeper.http import Answer, Api, Body, relative_path
from innkeeper.operation_wait import outcome_of, wait_for_operation
from innkeeper.profiles import Profile, Profiles
from innkeeper.terminal import Terminal

DONE, DECLINED = 0, 1
RESPOND_ASYNC = {"Prefer": "respond-async"}
DESCRIBE_TIMEOUT_S = 30.0


async def call(profile: Profile, words: Sequence[str], options: Options, profiles: Profiles, terminal: Terminal) -> int:
    """Executes the command and shows the result. Returns the exit status: 1 if the user declined.

    On a terminal, a command that deletes shows first what it deletes, and asks. Raises Usage, or the error of the
    request or of its operation.
    """
    api = Api(profile.url, profile.key)
    wanted, profile = await parsed_call(api, profile, words, profiles)
    if options.dry_run and wanted.has_plan and terminal.wants_table:
        terminal.say("\n".join(plan_lines((await send(api, wanted.as_dry_run(), asynchronous=False)).json())))
        return DONE
    if options.dry_run:
        wanted = wanted.as_dry_run()
    elif wanted.has_plan and terminal.stdin.isatty() and not options.yes:
        plan = (await send(api, wanted.as_dry_run(), asynchronous=False)).json()
        if not await is_confirmed(plan, terminal):
            terminal.note("Nothing was changed.")
            return DECLINED
    try:
        answer = await send(api, wanted, asynchronous=options.wait is not None)
    except InnkeeperError as error:
        _note_continuing_operation(error, profile, terminal)
        raise
    await _update_description(api, profile, answer, profiles)
    if options.wait and answer.status == 202:
        await _wait(api, profile, answer, terminal)
    else:
        terminal.show_answer(answer, "operations" if answer.status == 202 else wanted.command)
    return DONE


async def parsed_call(api: Api, profile: Profile, words: Sequence[str], profiles: Profiles) -> tuple[ApiCall, Profile]:
    """Returns the call, and the profile with the description that defines it.

    If the stored description does not define the call, fetches the region's current one once: it may be newer.
    """
    try:
        return parse_call(read_description(profile.description), words), profile
    except (Usage, InvalidRequest):
        try:
            fresh = await fetched(api, profile)
        except InnkeeperError:
            fresh = profile
        if fresh.description == profile.description:
            raise
    profiles.put(fresh)
    return parse_call(read_description(fresh.description), words), fresh


async def fetched(api: Api, profile: Profile) -> Profile:
    """Returns the profile with the region's current description."""
    plain = (await api.get("describe/", deadline_s=DESCRIBE_TIMEOUT_S)).json()
    read_description(plain)
    return evolve(profile, description=plain)


async def send(api: Api, wanted: ApiCall, *, asynchronous: bool) -> Answer:
    """Sends the request of the call; `asynchronous` requests the operation instead of its result."""
    fields = [(given.name, value_of(given)) for given in wanted.fields]
    op = [("op", wanted.action.op)] if wanted.action.op else []
    in_query = wanted.fields_in_query
    return await api.send(
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


def _note_continuing_operation(error: InnkeeperError, profile: Profile, terminal: Terminal) -> None:
    location = error.details.get("location")
    if error.details.get("status") == 504 and location:
        terminal.note(f"The operation continues. See: innkeeper {profile.name} operation read {_number(location)}")


def _number(location: str) -> str:
    return relative_path(location).rstrip("/").rpartition("/")[2]


async def _update_description(api: Api, profile: Profile, answer: Answer, profiles: Profiles) -> None:
    known: Description = read_description(profile.description)
    if answer.description_hash is None or answer.description_hash == known.hash:
        return
    # The request itself has succeeded; the next command tries again to fetch the description.
    try:
        profiles.put(await fetched(api, profile))
    except InnkeeperError:
        return


async def _wait(api: Api, profile: Profile, answer: Answer, terminal: Terminal) -> None:
    operation = answer.json()
    path = relative_path(answer.location or str(operation.get("resource_uri", "")))
    number = _number(path)
    try:
        with terminal.progress() as progress:
            ended = await wait_for_operation(api, path, progress)
        found, resource = await outcome_of(api, ended)
    except asyncio.CancelledError:
        terminal.note(f"Operation {number} continues. See: innkeeper {profile.name} operation read {number}")
        raise
    terminal.show(found, resource)
