"""Dispatches a request: the one ordered list of its checks, from top to bottom. No transport.

The order is a part of the security: who has no key learns nothing of a body or an object, and who may not see an object
learns nothing of its fields.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import structlog
from attrs import evolve, field, frozen

from common.errors import DatabaseUnavailable, InnkeeperError, InvalidRequest, NotFound
from common.tracing.spans import describe_current
from regiond.api import errors, etags
from regiond.api.declaration.endpoint import METHODS_WITH_BODY, Call, Endpoint, Find, Resource, SiteInfo
from regiond.api.declaration.fields import ParsedFields, Problems, Submitted, parse_fields, parse_other_keys
from regiond.api.declaration.not_part import reason_against
from regiond.api.pipeline.audit_record import AuditRecord
from regiond.api.pipeline.authentication import Authentication, NonceWindow
from regiond.api.pipeline.change_locks import ChangeLocks
from regiond.api.pipeline.dry_run_request import dry_run_problems
from regiond.api.pipeline.idempotency import checked_key, once, request_text
from regiond.api.pipeline.request import (
    ApiRequest,
    Body,
    BodyTurns,
    Pairs,
    grouped,
    read_query,
    requested_op,
    select_endpoint,
)
from regiond.api.pipeline.unknown_fields import NONE_UNKNOWN, UnknownFields, unknown_fields, with_warning
from regiond.api.replies import Reply, shown_reply, text_reply
from regiond.api.services import Services
from regiond.operations.idempotency.model import IdempotencyKey
from regiond.requests.caller import Caller, check_object, check_role
from regiond.requests.request_limits import OpenRequests, RequestLimits

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

_NO_FIELDS = ParsedFields(values={}, problems={})


@frozen(kw_only=True)
class Actor:
    """Who acts on a web page, and by which session, as the audit trail records it."""

    caller: Caller
    credential: str


@frozen(kw_only=True)
class Api:
    """Answers requests. `now_s` is the wall clock, like the timestamps of signatures."""

    services: Services
    info: SiteInfo
    limits: RequestLimits = field(factory=RequestLimits)
    open_requests: OpenRequests = field(factory=OpenRequests)
    now_s: Callable[[], float]
    bodies: BodyTurns = field(factory=BodyTurns)
    changes: ChangeLocks = field(factory=ChangeLocks)
    authentication: Authentication = field(init=False)

    @authentication.default
    def _authentication(self) -> Authentication:
        return Authentication(
            accounts=self.services.accounts, limits=self.limits, open_requests=self.open_requests,
            nonces=NonceWindow(), now_s=self.now_s,
        )  # fmt: skip

    async def answer(
        self,
        resource: Resource,
        path: Mapping[str, str],
        request: ApiRequest,
        request_id: str,
        *,
        on_endpoint: Callable[[str], None] | None = None,
    ) -> Reply:
        """Never raises: an error becomes its HTTP status, a bug becomes 500 with the id that the log entry has.

        Calls `on_endpoint` with the declared name of the endpoint, if the request has one.
        """
        record = AuditRecord(self.services.audit, resource, path, request, request_id)
        found: InnkeeperError | None = None
        try:
            reply = await self._answer(request, record)
        except InnkeeperError as error:
            reply, found = errors.reply_for(error), error
            describe_current({"innkeeper.error": error.code})
            if reply.status >= 500:
                log.warning("request_failed", code=error.code, reason=error.message, status=reply.status)
        except Exception:  # the boundary: the client gets a response whatever a handler raises
            log.exception("request_crashed", request_id=request_id)
            reply = errors.unexpected(request_id)
        if on_endpoint is not None and record.endpoint is not None:
            on_endpoint(f"{resource.handler}.{record.endpoint.name}")
        if record.login_failed or _is_audited(record):
            try:
                await record.end(reply, found)
            except DatabaseUnavailable as error:
                return errors.reply_for(error)
        return shown_reply(reply, record.caller)

    async def _answer(self, request: ApiRequest, record: AuditRecord) -> Reply:
        """Returns the answer of the endpoint. Raises what the checks or the endpoint raise.

        1. Query and body are read, since a client may sign in a form. What is wrong with them only waits: 401 goes
           before 400.
        2. Authentication, and the limits of the account and of the address.
        3. The method: who has no key is not told what a path has.
        4. Now what was wrong with query or body.
        5. The rest, as for a web page.
        """
        resource, unreadable = record.resource, None
        query: Pairs = ()
        body = Body()
        try:
            query = read_query(request.query)
            if request.method in METHODS_WITH_BODY:
                body = await self.bodies.read(request.content_type, request.body)
        except InvalidRequest as error:
            unreadable = error
        record.caller = await self.authentication.caller(resource, request, (*query, *body.signature), record)
        if request.method not in resource.methods:
            return _no_such_method(record, dict(query).get("op"), body)
        if unreadable is not None:
            raise unreadable
        return await self._execution(record, query, body).run()

    async def act(
        self, by: Actor, resource: Resource, path: Mapping[str, str], request: ApiRequest, body: Body, request_id: str
    ) -> Reply:
        """Runs an endpoint for a web page, whose caller a session has identified. Raises what the endpoint raises.

        The rules are those of a signed request: limits, permission, fields, audit trail.
        """
        record = AuditRecord(self.services.audit, resource, path, request, request_id)
        record.session = by.credential
        record.caller = by.caller
        try:
            reply = await self._execution(record, read_query(request.query), body).run()
        except InnkeeperError as error:
            await record.end(errors.reply_for(error), error)
            raise
        except Exception:
            await record.end(errors.unexpected(request_id), None)
            raise
        await record.end(reply, None)
        return shown_reply(reply, record.caller)

    def _execution(self, record: AuditRecord, query: Pairs, body: Body) -> "_Execution":
        return _Execution(
            services=evolve(self.services, caller=record.caller), info=self.info, limits=self.limits,
            changes=self.changes, record=record, query=query, body=body,
        )  # fmt: skip


@frozen(kw_only=True)
class _Execution:
    """One request whose sender is known. `record` has the resource, the path, the request itself and its caller."""

    services: Services
    info: SiteInfo
    limits: RequestLimits
    changes: ChangeLocks
    record: AuditRecord
    query: Pairs
    body: Body
    # The fields of the query, which are those of the endpoint unless it takes them from the body.
    in_query: Submitted = field(init=False)

    @in_query.default
    def _in_query(self) -> Submitted:
        return grouped(self.query)

    async def run(self) -> Reply:
        """Returns the answer of the endpoint, or the kept one. Raises what the checks or the endpoint raise.

        1. The endpoint, whose declaration decides what follows.
        2. The permission of the role, before anything that costs or that tells of an object.
        3. The lower limit of what is expensive.
        4. The format of the answer.
        5. The idempotency key: a repeat gets the answer that was kept, and the rest does not run again.
        """
        record, request, options = self.record, self.record.request, dict(self.query)
        caller = record.caller
        endpoint = record.endpoint = select_endpoint(record.resource, request, options.get("op"), self.body)
        record.submitted = self.body.values if endpoint.has_fields_in_body else self.in_query
        check_role(endpoint.permission, caller)
        if endpoint.expensive and caller is not None and endpoint.is_expensive(record.submitted):
            self.limits.take_expensive(caller, request.client_address)
        _check_format(options.get("format"))
        text = checked_key(record, endpoint, record.submitted) if request.idempotency_key else None
        if text is None or caller is None:
            return await self._execute(endpoint, None)
        keys = self.services.idempotency_keys
        return await once(
            keys,
            keys.key_of(caller, text, request_text(record, endpoint, self.in_query, self.body)),
            opens_operation=endpoint.opens_operation,
            run=partial(self._execute, endpoint),
            replay=partial(self._replay, endpoint),
        )

    async def _execute(self, endpoint: Endpoint, key: IdempotencyKey | None) -> Reply:
        """6. The object of the path, and the permission for it. Before the fields: 404 goes before 400.
        7. The fields: those unknown, a dry run that it does not have, those that do not parse, then the endpoint's own
        checks.
        8. If-Match, with the object locked until the change is made. After the fields: 400 goes before 412.
        9. The audit trail, then the endpoint (`_call`).
        10. The entity tag of what was read.
        """
        record = self.record
        is_repeat = key is not None and key.operation_id is not None
        target = await self._target(endpoint, may_be_deleted=is_repeat and endpoint.outlives_target)
        unknown = self._unknown(endpoint)
        parsed, other = endpoint.without_fields, _NO_FIELDS
        if record.submitted:
            parsed = parse_fields(endpoint.fields, record.submitted)
            other = parse_other_keys(endpoint.other_keys, endpoint.fields, record.submitted)
        call = self._new_call(endpoint, key, target, parsed, other)
        if not is_repeat:
            await _check_fields(
                call, {**parsed.problems, **other.problems, **unknown.problems, **self._dry_run_problems(endpoint)}
            )
        run = partial(self._call, call, unknown.ignored, is_repeat=is_repeat)
        if_match = record.request.if_match
        if if_match is not None and endpoint.method != "GET" and not is_repeat:  # a repeat changes nothing
            return await self.changes.change(record.resource, call, if_match, run)
        reply = await run()
        return etags.tagged(reply, record.request.if_none_match) if endpoint.reads_one else reply

    async def _call(self, call: Call, ignored: tuple[str, ...], *, is_repeat: bool) -> Reply:
        """Calls the endpoint once the trail has the request: what cannot be recorded does not run."""
        if is_repeat:
            await self.record.begin_repeat()
        elif call.endpoint.audited:
            await self.record.begin(call.values, dry_run=call.values.get("dry_run") is True)
        reply = await call.endpoint.run(call)
        return with_warning(reply, call.endpoint, ignored) if ignored else reply

    async def _replay(self, endpoint: Endpoint, reply: Reply) -> Reply:
        """Returns `reply`, the answer that an equal request got, if the caller may still send the request."""
        await self._target(endpoint, may_be_deleted=True)
        await self.record.begin_repeat()
        return reply

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

    def _unknown(self, endpoint: Endpoint) -> UnknownFields:
        has_fields_elsewhere = endpoint.has_fields_in_body and self.in_query
        if endpoint.known_fields.issuperset(self.record.submitted) and not has_fields_elsewhere:
            return NONE_UNKNOWN
        in_query = self.in_query if endpoint.has_fields_in_body else ()
        return unknown_fields(endpoint, self.record.submitted, in_query)

    def _dry_run_problems(self, endpoint: Endpoint) -> Problems:
        submitted, in_query, files = self.record.submitted, self.in_query, self.body.files
        if not any("run" in name.lower() for name in (*submitted, *in_query, *files)):
            return {}  # as of most requests, without another module
        return dry_run_problems(endpoint, submitted, in_query, files)

    def _new_call(
        self, endpoint: Endpoint, key: IdempotencyKey | None, target: Any, parsed: ParsedFields, other: ParsedFields
    ) -> Call:
        record, request = self.record, self.record.request
        return Call(
            services=self.services,
            info=self.info,
            endpoint=endpoint,
            path=record.path,
            values=parsed.values.copy(),
            invalid=frozenset(parsed.problems),
            other_values=other.values,
            signed_by=record.caller,
            target=target,
            origin=request.origin,
            client_address=request.client_address,
            request_id=record.request_id,
            authorization=(request.authorization or "") if record.resource.open_to_anyone else "",
            request_path=request.sent_path,
            query=tuple(self.query),
            respond_async=request.respond_async,
            prefer_wait_s=request.prefer_wait_s,
            idempotency_key=key,
            last_event_id=request.last_event_id,
            byte_range=request.byte_range,
            files=self.body.files,
            content=self.body.content,
            check_plan=request.check_plan,
        )


def _is_audited(record: AuditRecord) -> bool:
    return record.endpoint is not None and record.endpoint.audited


def _no_such_method(record: AuditRecord, query_op: str | None, body: Body) -> Reply:
    """Raises InvalidRequest for what MAAS has and Innkeeper does not, with the reason."""
    resource, request = record.resource, record.request
    reason = reason_against(resource, request.method, requested_op(request, query_op, body))
    if reason is not None:
        raise InvalidRequest(reason)
    allowed = ", ".join(resource.methods)
    text = f"{request.method} is not allowed here; use {allowed}."
    return text_reply(text, status=405, headers={"Allow": allowed})


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
