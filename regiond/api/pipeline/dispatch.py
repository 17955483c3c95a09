"""Dispatches a request: reads it, authenticates its sender, executes it, answers errors. No transport."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog
from attrs import evolve, field, frozen

from common.errors import DatabaseUnavailable, InnkeeperError, InvalidRequest, NotAllowed, NotAuthenticated
from regiond.accounts.model import SignatureMethod
from regiond.api import errors
from regiond.api.declaration.endpoint import Resource, SiteInfo
from regiond.api.declaration.not_part import reason_against
from regiond.api.declaration.request_body import MAX_BODY_BYTES, Body, is_content, read_query
from regiond.api.pipeline.audit_record import AuditRecord
from regiond.api.pipeline.body_turns import BodyTurns
from regiond.api.pipeline.change_locks import ChangeLocks
from regiond.api.pipeline.execution import METHODS_WITH_BODY, Execution, Pairs
from regiond.api.pipeline.nonces import NonceWindow
from regiond.api.pipeline.oauth import Signature, read_signature
from regiond.api.pipeline.request import ApiRequest, requested_op
from regiond.api.pipeline.signed_request import SignedRequest
from regiond.api.replies import Reply, text_reply
from regiond.api.services import Services
from regiond.caller import Caller
from regiond.open_requests import OpenRequests
from regiond.request_limits import RequestLimits

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

ANONYMOUS_BODY_BYTES = 16 * 1024  # a longer body is read only once its sender is known; forms can be signed inside
NOT_ADMITTED = text_reply(
    f"Sign a request with a body of more than {ANONYMOUS_BODY_BYTES} bytes in its headers.", status=401
)


@frozen(kw_only=True)
class Actor:
    """Who acts on a web page, and by which session, as the audit trail records it."""

    caller: Caller
    credential: str


@frozen(kw_only=True)
class Admission:
    """Whether the body of a request is read: not if there is a refusal, which then is the answer.

    `unproven_bytes` were counted for the address of the request until its signature is verified.
    """

    refusal: Reply | None = None
    unproven_bytes: int = 0


@frozen(kw_only=True)
class Api:
    """Answers requests. `now_s` is the wall clock, like the timestamps of signatures."""

    services: Services
    info: SiteInfo
    limits: RequestLimits = field(factory=RequestLimits)
    open_requests: OpenRequests = field(factory=OpenRequests)
    now_s: Callable[[], float]
    nonces: NonceWindow = field(factory=NonceWindow)
    bodies: BodyTurns = field(factory=BodyTurns)
    changes: ChangeLocks = field(factory=ChangeLocks)

    async def answer(self, resource: Resource, path: Mapping[str, str], request: ApiRequest, request_id: str) -> Reply:
        """Never raises: an error becomes its HTTP status, a bug becomes 500 with the id that the log entry has."""
        record = AuditRecord(self.services.audit, resource, path, request, request_id)
        found: InnkeeperError | None = None
        try:
            reply = await self._answer(resource, path, request, record)
        except InnkeeperError as error:
            reply, found = errors.reply_for(error), error
            if reply.status >= 500:
                log.warning("request_failed", code=error.code, reason=error.message, status=reply.status)
        except Exception:  # the boundary: the client gets a response whatever a handler raises
            log.exception("request_crashed", request_id=request_id)
            reply = errors.unexpected(request_id)
        try:
            await record.end(reply, found)
        except DatabaseUnavailable as error:
            return errors.reply_for(error)
        return reply

    async def act(
        self, by: Actor, resource: Resource, path: Mapping[str, str], request: ApiRequest, body: Body, request_id: str
    ) -> Reply:
        """Runs an endpoint for a web page, whose caller a session has identified. Raises what the endpoint raises.

        The rules are those of a signed request: limits, permission, fields, audit trail.
        """
        record = AuditRecord(self.services.audit, resource, path, request, request_id)
        record.credential = by.credential
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
        return reply

    async def _answer(
        self, resource: Resource, path: Mapping[str, str], request: ApiRequest, record: AuditRecord
    ) -> Reply:
        query, body, unreadable = await self._read(request)
        record.caller = await self._counted_caller(resource, request, (*query, *body.signature), record)
        if request.method not in resource.methods:
            reason = reason_against(resource, request.method, requested_op(request, dict(query).get("op"), body))
            if reason is not None:
                raise InvalidRequest(reason)
            return _method_not_allowed(resource, request.method)
        if unreadable is not None:
            raise unreadable
        return await self._execution(record, query, body).run()

    def _execution(self, record: AuditRecord, query: Pairs, body: Body) -> Execution:
        return Execution(
            services=evolve(self.services, caller=record.caller), info=self.info, limits=self.limits,
            changes=self.changes, record=record, query=query, body=body,
        )  # fmt: skip

    async def _read(self, request: ApiRequest) -> tuple[Pairs, Body, InvalidRequest | None]:
        """Reads query and body. An error is returned, not raised: only authenticated callers are shown it."""
        query: Pairs = ()
        has_body = request.method in METHODS_WITH_BODY
        try:
            query = read_query(request.query)
            body = await self.bodies.read(request.content_type, request.body) if has_body else Body()
        except InvalidRequest as unreadable:
            return query, Body(), unreadable
        return query, body, None

    async def admission(
        self,
        authorization: str | None,
        query: str,
        address: str,
        *,
        body_bytes: int | None,
        content_type: str | None = None,
    ) -> Admission:
        """Whether a valid API key has signed these; the refusal is the answer to the request, without its body.

        A key for HMAC-SHA1 is only named: its signature may include the body, with which it is verified. Until then the
        body counts for its address.

        `body_bytes` is the length of the body, None if it is unknown. Uses up no nonce, so that the request itself can
        be answered.
        """
        try:
            signature = read_signature(authorization, read_query(query))
            if signature is not None:
                caller = await self._owner(signature, address)
                is_verified = signature.method is not SignatureMethod.HMAC_SHA1
                if is_verified and caller.is_admin and is_content(content_type):
                    return Admission()  # part of an upload, which is not parsed and waits for the disk
                length = MAX_BODY_BYTES if body_bytes is None else min(body_bytes, MAX_BODY_BYTES)
                if is_verified:
                    self.limits.take_long_body(caller, address, length)
                    return Admission()
                self.limits.take_unproven_body(address, length)
                return Admission(unproven_bytes=length)
            self.limits.take_anonymous(address)
        except (NotAuthenticated, InvalidRequest):
            pass
        except InnkeeperError as error:
            return Admission(refusal=errors.reply_for(error))
        except Exception:  # the boundary, as in `answer`
            log.exception("request_crashed")
            request_id = str(structlog.contextvars.get_contextvars().get("request_id", ""))
            return Admission(refusal=errors.unexpected(request_id))
        return Admission(refusal=NOT_ADMITTED)

    async def _counted_caller(
        self, resource: Resource, request: ApiRequest, parameters: Pairs, record: AuditRecord
    ) -> Caller | None:
        """Returns the account; None if the resource needs none. Raises TooManyAttempts beyond a limit."""
        address = request.client_address
        if resource.open_to_anyone:
            self.limits.take_anonymous(address)
            return None
        signature = read_signature(request.authorization, parameters)
        signed = SignedRequest(request)
        if signature is None:
            self.limits.take_anonymous(address)
            if resource.is_open(request.method, dict(parameters).get("op") or request.op_suffix):
                return None
            raise NotAuthenticated("Forbidden")
        record.signed_with(signature.token_key)
        try:
            self.nonces.check_age(signature, self.now_s())
            caller = await self._owner(signature, address, signed)
            self.limits.take(caller, address)
            self.open_requests.take_account(request.place, caller)
            if request.unproven_bytes:
                self.limits.prove_body(caller, address, len(request.body), counted_bytes=request.unproven_bytes)
            self.nonces.use(signature, self.now_s())
        except (NotAllowed, NotAuthenticated):
            record.login_failed = True
            raise
        return caller

    async def _owner(self, signature: Signature, address: str, signed: SignedRequest | None = None) -> Caller:
        """Raises NotAuthenticated for a wrong key, NotAllowed for an inactive account, TooManyAttempts.

        Without `signed`, the body has not been read, and a signature that may include it is not verified.
        """
        self.limits.check_key(address, signature.token_key)
        accounts, keys = self.services.accounts, (signature.consumer_key, signature.token_key)
        try:
            if signature.method is not SignatureMethod.HMAC_SHA1:
                caller = await accounts.authenticate(*keys, signature.token_secret)
            elif signed is None:
                caller = await accounts.named(*keys)
            else:
                caller = await accounts.authenticate_signed(*keys, signed.verifier(signature))
        except NotAuthenticated as error:
            self.limits.take_anonymous(address)
            raise NotAuthenticated(f"Authorization Error: {error.message}") from error
        if signed is not None or signature.method is not SignatureMethod.HMAC_SHA1:
            self.limits.remember_key(signature.token_key)
        return caller


def _method_not_allowed(resource: Resource, method: str) -> Reply:
    allowed = ", ".join(resource.methods)
    return text_reply(f"{method} is not allowed here; use {allowed}.", status=405, headers={"Allow": allowed})
