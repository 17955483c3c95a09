"""Executes a request whose sender is known: authorizes, parses, calls the endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from attrs import evolve, frozen

from common.errors import InvalidRequest, NotFound
from regiond.api import etags
from regiond.api.declaration.endpoint import Call, Endpoint, Find, SiteInfo
from regiond.api.declaration.fields import Problems, parse_fields, parse_other_keys
from regiond.api.declaration.request_body import Body, grouped
from regiond.api.pipeline.audit_record import AuditRecord
from regiond.api.pipeline.change_locks import ChangeLocks
from regiond.api.pipeline.idempotency import checked_key, once, request_text
from regiond.api.pipeline.request import select_endpoint
from regiond.api.pipeline.unknown_fields import unknown_fields, with_warning
from regiond.api.replies import Reply
from regiond.api.services import Services
from regiond.idempotency.model import IdempotencyKey
from regiond.permissions import check_object, check_role
from regiond.request_limits import RequestLimits

METHODS_WITH_BODY = frozenset({"POST", "PUT"})
Pairs = Sequence[tuple[str, str]]


@frozen(kw_only=True)
class Execution:
    """One request. `record` has the resource, the path, the request itself and its caller."""

    services: Services
    info: SiteInfo
    limits: RequestLimits
    changes: ChangeLocks
    record: AuditRecord
    query: Pairs
    body: Body

    async def run(self) -> Reply:
        """Returns the answer of the endpoint, or the kept one. Raises what the checks or the endpoint raise."""
        record, request, options = self.record, self.record.request, dict(self.query)
        caller = record.caller
        endpoint = record.endpoint = select_endpoint(record.resource, request, options.get("op"), self.body)
        query = grouped(self.query)
        record.submitted = self.body.values if _has_fields(endpoint) else query
        check_role(endpoint.permission, caller)
        if caller is not None and endpoint.is_expensive(record.submitted):
            self.limits.take_expensive(caller, request.client_address)
        _check_format(options.get("format"))
        text = checked_key(record, endpoint, record.submitted)
        if text is None or caller is None:
            return await self._execute(endpoint, None)
        keys = self.services.idempotency_keys
        return await once(
            keys,
            keys.key_of(caller, text, request_text(record, endpoint, query, self.body)),
            opens_operation=endpoint.opens_operation,
            run=partial(self._execute, endpoint),
            replay=partial(self._replay, endpoint),
        )

    async def _replay(self, endpoint: Endpoint, reply: Reply) -> Reply:
        """Returns `reply`, the answer that an equal request got, if the caller may still send the request."""
        await self._target(endpoint, may_be_deleted=True)
        await self.record.begin_repeat()
        return reply

    async def _execute(self, endpoint: Endpoint, key: IdempotencyKey | None) -> Reply:
        record, request, submitted = self.record, self.record.request, self.record.submitted
        is_repeat = key is not None and key.operation_id is not None
        target = await self._target(endpoint, may_be_deleted=is_repeat and endpoint.outlives_target)
        unknown = unknown_fields(endpoint, submitted, grouped(self.query) if _has_fields(endpoint) else ())
        parsed = parse_fields(endpoint.fields, submitted)
        other = parse_other_keys(endpoint.other_keys, endpoint.fields, submitted)
        call = Call(
            services=self.services,
            info=self.info,
            endpoint=endpoint,
            path=record.path,
            values=parsed.values,
            invalid=frozenset(parsed.problems),
            other_values=other.values,
            signed_by=record.caller,
            target=target,
            origin=request.origin,
            client_address=request.client_address,
            request_path=request.sent_path,
            query=tuple(self.query),
            respond_async=request.respond_async,
            prefer_wait_s=request.prefer_wait_s,
            idempotency_key=key,
            last_event_id=request.last_event_id,
            files=self.body.files,
            content=self.body.content,
        )
        if not is_repeat:
            await _check_fields(call, {**parsed.problems, **other.problems, **unknown.problems})
        run = partial(self._call, call, unknown.ignored, is_repeat=is_repeat)
        if request.if_match is not None and request.method != "GET" and not is_repeat:  # a repeat changes nothing
            return await self.changes.change(record.resource, call, request.if_match, run)
        reply = await run()
        return etags.tagged(reply, request.if_none_match) if endpoint.reads_one else reply

    async def _call(self, call: Call, ignored: tuple[str, ...], *, is_repeat: bool) -> Reply:
        if is_repeat:
            await self.record.begin_repeat()
        else:
            await self.record.begin(call.values, dry_run=call.values.get("dry_run") is True)
        return with_warning(await call.endpoint.run(call), call.endpoint, ignored)

    async def _target(self, endpoint: Endpoint, *, may_be_deleted: bool) -> Any:
        """Returns the object of the path; None if there is none, or if it was deleted and may be.

        Raises NotFound, also for one that the caller may not see, and NotAllowed.
        """
        if endpoint.find is None:
            return None
        try:
            target = self.record.target = await endpoint.find(self.services, self.record.path)
        except NotFound:
            if may_be_deleted and await self._is_deleted(endpoint.find):
                return None
            raise
        check_object(endpoint.permission, self.record.caller, target)
        return target

    async def _is_deleted(self, find: Find) -> bool:
        try:
            await find(evolve(self.services, caller=None), self.record.path)
        except NotFound:
            return True
        return False


def _has_fields(endpoint: Endpoint) -> bool:
    """Whether the fields are in the body."""
    return endpoint.method in METHODS_WITH_BODY and not endpoint.takes_content


async def _check_fields(call: Call, problems: Problems) -> None:
    """Raises InvalidRequest with the problems of parsing and those that the endpoint's own checks find."""
    if call.endpoint.check is not None:
        problems = {**call.endpoint.check(call), **problems}
    if problems and call.endpoint.check_names is not None:
        problems = {**await call.endpoint.check_names(call), **problems}
    if problems:
        raise InvalidRequest.of(problems)


def _check_format(wanted: str | None) -> None:
    if wanted not in {None, "", "json"}:
        raise InvalidRequest(f"Invalid output format specified '{wanted}'.")
