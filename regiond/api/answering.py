"""From a request to its answer: who asks, may they, of what, with which values. No transport, so tests call it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from attrs import field, frozen

from common.errors import InnkeeperError, InvalidRequest, NotAllowed, NotAuthenticated, NotFound
from regiond.accounts.model import Caller
from regiond.api import errors
from regiond.api.bodies import Body, grouped, read_body, read_query
from regiond.api.endpoint import Call, Endpoint, Permission, Resource, SiteInfo
from regiond.api.fields import Submitted, read_fields, read_rest
from regiond.api.incoming import Incoming, wanted_endpoint
from regiond.api.oauth import NonceWindow, read_signature
from regiond.api.replies import Reply, text_reply
from regiond.api.services import Services

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

_WITH_BODY = frozenset({"POST", "PUT"})
_LONGEST_KEY = 255
Pairs = Sequence[tuple[str, str]]


@frozen(kw_only=True)
class Api:
    """Answers requests. `now_s` is the wall clock, as timestamps of signatures are."""

    services: Services
    info: SiteInfo
    now_s: Callable[[], float]
    nonces: NonceWindow = field(factory=NonceWindow)

    async def answer(self, resource: Resource, path: Mapping[str, str], incoming: Incoming, reference: str) -> Reply:
        """Always an answer: errors are told as HTTP, and a bug of ours as 500 under `reference`, which the log has."""
        try:
            return await self._answer(resource, path, incoming)
        except InnkeeperError as error:
            reply = errors.reply_for(error)
            if reply.status >= 500:
                log.warning("request_failed", code=error.code, reason=error.message, status=reply.status)
            return reply
        except Exception:  # the border: whatever a handler's bug raises, the client gets an answer
            log.exception("request_broke", reference=reference)
            return errors.unexpected(reference)

    async def _answer(self, resource: Resource, path: Mapping[str, str], incoming: Incoming) -> Reply:
        query, body, unreadable = _read(incoming)
        caller = None if resource.open_to_anyone else await self._caller(incoming, (*query, *body.signature))
        if incoming.method not in resource.methods:
            return _not_this_method(resource, incoming.method)
        if unreadable is not None:
            raise unreadable
        options = dict(query)
        endpoint = wanted_endpoint(resource, incoming, options.get("op"), body)
        _check_role(endpoint, caller)
        _check_format(options.get("format"))
        target = await self._target(endpoint, path, incoming)
        _check_owner(endpoint, caller, target)
        submitted: Submitted = body.values if incoming.method in _WITH_BODY else grouped(query)
        call = Call(
            services=self.services,
            info=self.info,
            endpoint=endpoint,
            path=path,
            values=read_fields(endpoint.fields, submitted),
            rest=read_rest(endpoint.rest, endpoint.fields, submitted),
            signed_by=caller,
            target=target,
            origin=incoming.origin,
            respond_async=incoming.respond_async,
            idempotency_key=_checked_key(incoming.idempotency_key),
        )
        return await endpoint.run(call)

    async def _target(self, endpoint: Endpoint, path: Mapping[str, str], incoming: Incoming) -> Any:
        """None for what is gone when the endpoint answers a repeat of its own all the same."""
        if endpoint.find is None:
            return None
        try:
            return await endpoint.find(self.services, path)
        except NotFound:
            if endpoint.outlives_target and incoming.idempotency_key is not None:
                return None
            raise

    async def _caller(self, incoming: Incoming, parameters: Pairs) -> Caller:
        signature = read_signature(incoming.authorization, parameters)
        if signature is None:
            raise NotAuthenticated("Forbidden")
        self.nonces.check_age(signature, self.now_s())
        try:
            caller = await self.services.accounts.authenticate(
                signature.consumer_key, signature.token_key, signature.token_secret
            )
        except NotAuthenticated as error:
            raise NotAuthenticated(f"Authorization Error: {error.message}") from error
        self.nonces.use(signature, self.now_s())
        return caller


def _read(incoming: Incoming) -> tuple[Pairs, Body, InvalidRequest | None]:
    """Query and body, and why one of them cannot be read: that is told only to those who may ask at all."""
    query: Pairs = ()
    try:
        query = read_query(incoming.query)
        body = read_body(incoming.content_type, incoming.body) if incoming.method in _WITH_BODY else Body()
    except InvalidRequest as unreadable:
        return query, Body(), unreadable
    return query, body, None


def _not_this_method(resource: Resource, method: str) -> Reply:
    allowed = ", ".join(resource.methods)
    return text_reply(f"{method} is not allowed here; {allowed} is.", status=405, headers={"Allow": allowed})


def _check_role(endpoint: Endpoint, caller: Caller | None) -> None:
    if endpoint.permission is Permission.ADMIN and caller is not None:
        caller.require_admin()


def _check_owner(endpoint: Endpoint, caller: Caller | None, target: Any) -> None:
    if endpoint.permission is Permission.OWNER and caller is not None and not caller.is_admin:
        owner = getattr(target, "owner", None)
        if owner != caller.username:
            raise NotAllowed("Only the machine's owner and administrators may do this.")


def _check_format(wanted: str | None) -> None:
    if wanted not in {None, "", "json"}:
        raise InvalidRequest(f"Invalid output format specified '{wanted}'.")


def _checked_key(key: str | None) -> str | None:
    """Refused rather than cut: two keys that begin alike are two keys."""
    if key is None or not key.strip():
        return None
    if len(key) > _LONGEST_KEY or not key.isprintable():
        raise InvalidRequest(f"Idempotency-Key has at most {_LONGEST_KEY} printable characters.")
    return key.strip()
