"""Builds the endpoints that most resources have: list, read, create, update, delete, actions on one object.

Here `run` returns a value, and the endpoint encodes it as its `result` declares. A resource with another response, such
as 202 for a started operation, declares an `Endpoint`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypedDict, TypeVar, Unpack

from attrs import evolve

from regiond.api.declaration.dry_run import DRY_RUN, PLAN, deleting
from regiond.api.declaration.endpoint import Call, Endpoint, Find, Result
from regiond.api.declaration.fields import Field, Problems
from regiond.api.declaration.list_page import Page, page_reply
from regiond.api.declaration.lists import PLAIN, ListOptions, check_sort, list_reply, option_fields
from regiond.api.declaration.request_cost import Cost
from regiond.api.declaration.serializer import Serializer, array
from regiond.api.replies import Reply, json_reply
from regiond.api.services import Services
from regiond.requests.audience import shown_to
from regiond.requests.caller import Permission
from regiond.requests.deletion_plan import DeletionPlan
from regiond.requests.long_list import LongList

T = TypeVar("T")
Run = Callable[[Call], Awaitable[T]]

NOTHING: Result[None] = Result(doc="Nothing.")


async def as_found(call: Call) -> Any:
    """The object of the path."""
    return call.target


async def no_objects(_: Call) -> tuple[()]:
    """The list of what Innkeeper never has."""
    return ()


class Options(TypedDict, total=False):
    """Fields of `Endpoint` that have defaults."""

    doc: str
    fields: tuple[Field, ...]
    other_keys: Field
    find: Find
    check: Callable[[Call], Problems]
    destructive: bool
    expensive: bool | Cost
    audited: bool
    accepted: frozenset[str]


def list_of(
    items: Serializer[T],
    run: Run[Page[T]] | Run[LongList[T]] | Run[Iterable[T]],
    *,
    title: str,
    result: str,
    op: str | None = None,
    permission: Permission = Permission.USER,
    **options: Unpack[Options],
) -> Endpoint:
    """GET: an array of what `run` returns, sent in chunks. `result` is the text that describes it.

    With `limit`, `after`, `sort` or `q` it is a page of that. An endpoint that declares `limit` makes its pages itself,
    one that declares `q` its search.
    """
    declared = options.get("fields", ())
    added = option_fields(items.schema, declared)
    options["fields"] = (*declared, *added)
    searches = any(one.name == "q" for one in declared)

    async def reply(call: Call) -> Reply:
        wanted = ListOptions.of({**call.values, "q": ""} if searches else call.values) if added else PLAIN
        check_sort(items.schema, wanted)
        found: Page[T] | LongList[T] | Iterable[T] = await run(call)
        shown = evolve(items, encode=lambda one: items.encode(shown_to(call.signed_by, one)))
        if isinstance(found, Page):
            headers = found.headers(call.request_path, call.query)
            return await list_reply(found.found, shown.encode, headers=headers)
        if wanted.is_plain:
            return await list_reply(found, shown.encode)
        return await page_reply(found, shown, wanted, path=call.request_path, query=call.query, reader=call.caller)

    described = Result(doc=result, type=array(items))
    return Endpoint(method="GET", op=op, permission=permission, title=title, result=described, run=reply, **options)


def read(
    result: Result[T],
    run: Run[T],
    *,
    title: str,
    op: str | None = None,
    permission: Permission = Permission.USER,
    **options: Unpack[Options],
) -> Endpoint:
    """GET: what `run` returns."""
    return Endpoint(
        method="GET", op=op, permission=permission, title=title, result=result, run=encoded_run(result, run), **options
    )


def read_target(
    result: Result[T],
    find: Callable[[Services, Mapping[str, str]], Awaitable[T]],
    *,
    title: str,
) -> Endpoint:
    """GET: the object of the path."""
    return read(result, as_found, title=title, find=find)


def create(
    result: Result[T],
    run: Run[T],
    *,
    title: str,
    permission: Permission = Permission.ADMIN,
    success: int = 200,
    **options: Unpack[Options],
) -> Endpoint:
    """POST: the new object, which `run` returns."""
    encoded = encoded_run(result, run, status=success)
    return Endpoint(
        method="POST", permission=permission, title=title, result=result, success=success, run=encoded, **options
    )


def action(
    op: str,
    result: Result[T],
    run: Run[T],
    *,
    title: str,
    permission: Permission = Permission.ADMIN,
    success: int = 200,
    **options: Unpack[Options],
) -> Endpoint:
    """POST with an op: what `run` returns."""
    return evolve(create(result, run, title=title, permission=permission, success=success, **options), op=op)


def update(
    result: Result[T], run: Run[T], *, title: str, permission: Permission = Permission.ADMIN, **options: Unpack[Options]
) -> Endpoint:
    """PUT: the changed object, which `run` returns."""
    return Endpoint(
        method="PUT", permission=permission, title=title, result=result, run=encoded_run(result, run), **options
    )


def delete(
    run: Run[DeletionPlan], *, title: str, permission: Permission = Permission.ADMIN, **options: Unpack[Options]
) -> Endpoint:
    """DELETE: 204 after `run`; its plan for `dry_run`, in which it must change nothing."""
    options["fields"] = (*options.get("fields", ()), DRY_RUN)
    return Endpoint(
        method="DELETE",
        permission=permission,
        title=title,
        result=NOTHING,
        success=204,
        other_answers=((200, PLAN),),
        run=deleting(run),
        **options,
    )


def encoded_run(result: Result[T], run: Run[T], *, status: int = 200) -> Callable[[Call], Awaitable[Reply]]:
    if result.type is None:
        raise ValueError(f"{result.doc!r} has no type to encode")
    encode = result.type.encode

    async def reply(call: Call) -> Reply:
        return json_reply(encode(shown_to(call.signed_by, await run(call))), status=status)

    return reply
