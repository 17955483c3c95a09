"""Makes a change only if the object is as the client read it (`If-Match`), one such change at a time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from weakref import WeakValueDictionary

from attrs import evolve, frozen

from regiond.api import etags
from regiond.api.declaration.endpoint import Call, Endpoint, Resource
from regiond.api.declaration.fields import parse_fields
from regiond.api.declaration.lists import identity_key
from regiond.api.replies import Reply
from regiond.requests.caller import check_object, check_role


@frozen
class _Version:
    """The entity tag of an object now, and its identity, by whatever path it was read."""

    identity: tuple[str, Any]
    etag: str


class ChangeLocks:
    """One lock for each object, in this region process: of two changes of one version the second is rejected.

    Another region, or a request without the header, can change the object between the comparison and the change.
    """

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[tuple[str, Any], asyncio.Lock] = WeakValueDictionary()

    async def change(self, resource: Resource, call: Call, if_match: str, run: Callable[[], Awaitable[Reply]]) -> Reply:
        """Returns the answer of `run` if `if_match` names the version of the object, else 412.

        Nothing waits for `*`, which names every version. Raises what the read of the object raises.
        """
        read = read_of(resource)
        known = None if read is None else await _version(read, call)
        if read is None or known is None:
            return etags.without_tag()
        if etags.is_any(if_match):
            return await run()
        async with self._locks.setdefault(known.identity, asyncio.Lock()):
            current = await _version(read, call)
            if current is None:
                return etags.without_tag()
            if not etags.matches(if_match, current.etag):
                return etags.changed_since(current.etag)
            return await run()


def read_of(resource: Resource) -> Endpoint | None:
    """Returns the endpoint that reads the one object of the path; None if there is no such object, as for a list."""
    read = resource.endpoint("GET", None)
    return read if read is not None and read.reads_one else None


async def _version(read: Endpoint, call: Call) -> _Version | None:
    """None if the read has no tag for this caller."""
    target = None if read.find is None else await read.find(call.services, call.path)
    check_role(read.permission, call.signed_by)
    check_object(read.permission, call.signed_by, target)
    values = parse_fields(read.fields, {}).values
    reply = await read.run(evolve(call, endpoint=read, values=values, other_values={}, target=target))
    if reply.status != 200 or reply.chunks is not None:
        return None
    key = identity_key(read.result.schema or {})
    return _Version((read.title, None if key is None else json.loads(reply.body)[key]), etags.etag_of(reply.body))
