"""Serves the RPC command with which clients follow the events, as the stream of events by HTTP."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from common.errors import InvalidRequest, NotFound
from common.rpc.commands.client_commands import EventPart, EventsCall, EventSummary
from regiond.api.services import Services
from regiond.events.model import AT_LEAST, Event, EventFilter
from regiond.requests.caller import Caller
from regiond.requests.identifiers import as_id
from regiond.requests.validation_messages import no_object

LONGEST_S = 1500.0  # then the client continues with a new call, as by HTTP
MAX_TEXT_CHARS = 255
_LARGEST_ID = 2**63 - 1


async def followed(services: Services, caller: Caller, call: EventsCall) -> AsyncGenerator[EventPart, None]:
    """Yields the position at which it starts, then each event, and now and then a position without one.

    Raises InvalidRequest, NotFound and TooManyAttempts.
    """
    _check(call)
    wanted = EventFilter(
        levels=AT_LEAST[call.level],
        host_id=await _host_id(services, caller, call.host),
        system_ids=None if call.system_id is None else (call.system_id,),
        operation_id=call.operation_id,
        kinds=call.kinds,
        username=call.username,
        text=call.text,
    )
    start, batches = await services.event_streams.open(caller, wanted, after_id=call.after, duration_s=LONGEST_S)
    async with aclosing(batches):
        yield EventPart(position=start.position, is_gap=start.is_gap)
        async for batch in batches:
            for event in batch.events:
                yield EventPart(position=event.id, event=_summary(event))
            yield EventPart(position=batch.position)


async def _host_id(services: Services, caller: Caller, text: str | None) -> int | None:
    """Returns the id of the VM host; one that is only an id may be of a removed host. Raises NotFound."""
    if text is None:
        return None
    if found := (await services.hosts.ids_of([text], caller=caller))[text]:
        return min(found)
    if (number := as_id(text)) is None:
        raise NotFound(no_object("VM host", text, near=await services.hosts.names(caller=caller)))
    return number


def _check(call: EventsCall) -> None:
    problems: dict[str, list[str]] = {}
    if call.level not in AT_LEAST:
        problems["level"] = [f"Use {', '.join(AT_LEAST)}."]
    for name in ("after", "operation_id"):
        number: int | None = getattr(call, name)
        if number is not None and not 0 <= number <= _LARGEST_ID:
            problems[name] = ["Give an id, a number from 0 on."]
    texts = {name: (getattr(call, name) or "",) for name in ("host", "system_id", "username", "text")}
    for name, found in {**texts, "kinds": call.kinds}.items():
        if not all(len(one) <= MAX_TEXT_CHARS and one.isprintable() for one in found):
            problems[name] = [f"Use at most {MAX_TEXT_CHARS} printable characters."]
    if problems:
        raise InvalidRequest.of(problems)


def _summary(event: Event) -> EventSummary:
    return EventSummary(
        id=event.id,
        at=event.at.isoformat(),
        kind=event.kind,
        level=event.level.value.upper(),
        message=event.message,
        host_id=event.host_id,
        host_name=event.host_name,
        system_id=event.system_id,
        hostname=event.hostname,
        operation_id=event.operation_id,
        rack_id=None if event.rack_id is None else str(event.rack_id),
        username=event.username,
        details=dict(event.details),
    )
