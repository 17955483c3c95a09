"""The header `Idempotency-Key`: a request that changes something runs once, and its repeats get its answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from attrs import evolve

from common.errors import DatabaseUnavailable, InnkeeperError, InvalidRequest
from regiond.api.declaration.endpoint import Endpoint
from regiond.api.declaration.fields import Submitted, parse_fields
from regiond.api.pipeline.audit_record import AuditRecord
from regiond.api.pipeline.request import Body
from regiond.api.replies import Reply
from regiond.operations.idempotency.model import MAX_KEY_CHARS, IdempotencyKey, KeptAnswer
from regiond.operations.idempotency.service import IdempotencyKeys

REPLAYED = "Idempotency-Replayed"
_NO_ACCOUNT = (
    "Idempotency-Key: a key belongs to an account, and this request has none. Send it without the header, or signed."
)


async def once(
    keys: IdempotencyKeys,
    key: IdempotencyKey,
    *,
    opens_operation: bool,
    run: Callable[[IdempotencyKey], Awaitable[Reply]],
    replay: Callable[[Reply], Awaitable[Reply]],
) -> Reply:
    """Returns the answer of `run`, or that of an equal request, which `replay` may refuse. Raises what they raise.

    Only successful answers are kept. An error means that nothing was done, so that a repeat runs; but after a lost
    database, or a bug, that is not known, and no repeat runs.
    """
    kept = await keys.begin(key, opens_operation=opens_operation)
    if kept is not None:
        return _marked(await replay(_reply(kept)))
    try:
        async with keys.running(key):
            reply = await run(key)
    except Exception as error:
        nothing_done = isinstance(error, InnkeeperError) and not isinstance(error, DatabaseUnavailable)
        await (keys.release if nothing_done else keys.abandon)(key)
        raise
    if not 200 <= reply.status < 300:
        await keys.release(key)
        return reply
    if key.operation_id is not None:
        return _marked(reply)
    await keys.keep(key, _kept(reply))
    return reply


def checked_key(record: AuditRecord, endpoint: Endpoint, submitted: Submitted) -> str | None:
    """Returns the key with which the request is to run once; None without one, and if it only reads.

    Raises InvalidRequest for a long key instead of truncating it: two keys may differ only at the end.
    """
    text = (record.request.idempotency_key or "").strip()
    if not text or not endpoint.changes or _is_dry_run(endpoint, submitted):
        return None
    if len(text) > MAX_KEY_CHARS or not text.isprintable():
        raise InvalidRequest(f"Idempotency-Key: use at most {MAX_KEY_CHARS} printable characters.")
    if record.caller is None:
        raise InvalidRequest(_NO_ACCOUNT)
    return text


def request_text(record: AuditRecord, endpoint: Endpoint, query: Submitted, body: Body) -> bytes:
    """All that makes the request another one, in one form: the order of fields does not matter."""
    content = {name: hashlib.sha256(data).hexdigest() for name, data in body.files.items()}
    parts: list[Any] = [
        endpoint.method, record.resource.full_path, dict(record.path), endpoint.op, _listed(query),
        _listed(body.values), content, None if body.content is None else hashlib.sha256(body.content).hexdigest(),
    ]  # fmt: skip
    return json.dumps(parts, sort_keys=True).encode()


def _listed(values: Submitted) -> Mapping[str, list[object]]:
    return {name: list(each) for name, each in values.items()}


def _is_dry_run(endpoint: Endpoint, submitted: Submitted) -> bool:
    field = next((one for one in endpoint.fields if one.name == "dry_run"), None)
    return field is not None and parse_fields((field,), submitted).values["dry_run"] is True


def _kept(reply: Reply) -> KeptAnswer:
    return KeptAnswer(
        status=reply.status, content_type=reply.content_type, headers=reply.headers,
        body=reply.body if reply.chunks is None else None, operation_id=reply.operation_id,
    )  # fmt: skip


def _reply(kept: KeptAnswer) -> Reply:
    return Reply(
        status=kept.status, body=kept.body or b"", content_type=kept.content_type, headers=kept.headers,
        operation_id=kept.operation_id,
    )  # fmt: skip


def _marked(reply: Reply) -> Reply:
    return evolve(reply, headers={**reply.headers, REPLAYED: "true"})
