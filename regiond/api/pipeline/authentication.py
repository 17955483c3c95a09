"""Authenticates the sender of a request by its signature, within the limits; rejects used nonces.

Signatures are OAuth 1.0 as six clients write them, and API keys in `Authorization: Bearer`.
"""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import unquote, unquote_plus

import structlog
from attrs import frozen

from common.errors import InnkeeperError, InvalidRequest, NotAllowed, NotAuthenticated
from regiond.accounts.model import ApiKey, SignatureMethod
from regiond.accounts.service import Accounts
from regiond.api import errors
from regiond.api.declaration.endpoint import Resource
from regiond.api.pipeline.audit_record import AuditRecord
from regiond.api.pipeline.request import MAX_BODY_BYTES, ApiRequest, Pairs, is_content, read_query
from regiond.api.pipeline.signed_request import Signature, SignedRequest, rejected
from regiond.api.replies import Reply, text_reply
from regiond.requests.caller import Caller
from regiond.requests.request_limits import OpenRequests, RequestLimits

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

MAX_HEADER_BYTES = 60 * 1024  # maas-client-go repeats the fields of a request there, user data too
_REQUIRED = ("consumer_key", "token", "signature", "signature_method", "timestamp", "nonce")
_BEARER = re.compile(r"\s*bearer\s+(\S+)\s*", re.IGNORECASE)
_SCHEME = re.compile(r"\s*oauth(?:\s+|$)", re.IGNORECASE)
# The lookbehind lets a match start only at the start of a name: without it a long run of letters costs quadratic time.
_PARAMETER = re.compile(r'(?<![A-Za-z0-9_])([A-Za-z0-9_]++)\s*+=\s*+(?:"([^"]*)"|([^",\s]*))')
_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
WINDOW_S = 300
_MANY_KEYS = 1000
ANONYMOUS_BODY_BYTES = 16 * 1024  # a longer body is read only once its sender is known; forms can be signed inside
NOT_ADMITTED = text_reply(
    f"Sign a request with a body of more than {ANONYMOUS_BODY_BYTES} bytes in its headers.", status=401
)


class _Nonces:
    """Hashes of nonces and when they expire. `forgotten_until` is the latest such time of those that were dropped."""

    def __init__(self, most: int) -> None:
        self.used: OrderedDict[bytes, float] = OrderedDict()
        self.forgotten_until = 0.0
        self._most = most

    def drop_expired(self, now_s: float) -> None:
        while self.used:
            oldest = next(iter(self.used))
            if self.used[oldest] >= now_s and len(self.used) < self._most:
                return
            self.forgotten_until = max(self.forgotten_until, self.used.pop(oldest))

    def is_needed(self, now_s: float) -> bool:
        return self.forgotten_until >= now_s or any(expires >= now_s for expires in self.used.values())


class NonceWindow:
    """Remembers used nonces while their timestamps are valid, in bounded memory.

    The window is per region process: another region accepts the same request once more. What is remembered of
    HMAC-SHA1 is apart, for each key: who overhears such a request can only repeat it. So timestamps of the future are
    rejected too, and of a key with very many requests those that are older than what was forgotten.
    """

    def __init__(self, *, max_nonces: int = 100_000) -> None:
        self._max_nonces = max_nonces
        self._plain = _Nonces(max_nonces)
        self._by_key: dict[str, _Nonces] = {}

    def __len__(self) -> int:
        return len(self._plain.used) + sum(len(each.used) for each in self._by_key.values())

    def check_age(self, signature: Signature, now_s: float) -> None:
        """Raises NotAuthenticated if the timestamp is more than 300 s old, or with HMAC-SHA1, in the future."""
        if signature.timestamp_s is None:
            return
        age_s = now_s - signature.timestamp_s
        if age_s > WINDOW_S or (_is_hmac(signature) and age_s < -WINDOW_S):
            raise rejected(
                f"Expired timestamp: given {signature.timestamp_s} and now {int(now_s)} "
                f"has a greater difference than threshold {WINDOW_S}"
            )

    def use(self, signature: Signature, now_s: float) -> None:
        """Records the nonce; call it after the key is verified. Raises NotAuthenticated if it was used before."""
        if signature.timestamp_s is None:
            return
        nonces, valid_until = self._plain, max(now_s, signature.timestamp_s) + WINDOW_S
        if _is_hmac(signature):
            nonces, valid_until = self._of_key(signature.token_key, now_s), float(signature.timestamp_s + WINDOW_S)
        nonces.drop_expired(now_s)
        if _is_hmac(signature) and valid_until <= nonces.forgotten_until:
            raise rejected(f"Too many requests: no nonce of {signature.timestamp_s} is remembered any more")
        used = hashlib.sha256(f"{signature.token_key} {signature.nonce}".encode("utf-8", "replace")).digest()
        if used in nonces.used:
            raise rejected(f"Nonce already used: {signature.nonce[:80]}")
        nonces.used[used] = valid_until

    def _of_key(self, token_key: str, now_s: float) -> _Nonces:
        if len(self._by_key) > _MANY_KEYS:
            self._by_key = {key: each for key, each in self._by_key.items() if each.is_needed(now_s)}
        return self._by_key.setdefault(token_key, _Nonces(self._max_nonces))


def _is_hmac(signature: Signature) -> bool:
    return signature.method is SignatureMethod.HMAC_SHA1


@frozen(kw_only=True)
class Admission:
    """Whether the body of a request is read: not if there is a refusal, which then is the answer.

    `unproven_bytes` were counted for the address of the request until its signature is verified.
    """

    refusal: Reply | None = None
    unproven_bytes: int = 0


@frozen(kw_only=True)
class Authentication:
    """Finds who sent a request. `now_s` is the wall clock, like the timestamps of signatures."""

    accounts: Accounts
    limits: RequestLimits
    open_requests: OpenRequests
    nonces: NonceWindow
    now_s: Callable[[], float]

    async def caller(
        self, resource: Resource, request: ApiRequest, parameters: Pairs, record: AuditRecord
    ) -> Caller | None:
        """Returns the account; None if the resource needs none. Raises TooManyAttempts beyond a limit.

        `parameters` are those of the query and the form.
        """
        address = request.client_address
        if resource.open_to_anyone:
            self.limits.take_anonymous(address)
            return None
        signature = read_signature(request.authorization, parameters)
        if signature is None:
            self.limits.take_anonymous(address)
            if resource.is_open(request.method, dict(parameters).get("op") or request.op_suffix):
                return None
            raise NotAuthenticated("Forbidden")
        record.token_key = signature.token_key
        try:
            self.nonces.check_age(signature, self.now_s())  # before the key is looked up in the database
            caller = await self._owner(signature, address, SignedRequest(request))
            self.limits.take(caller, address)
            self.open_requests.take_account(request.place, caller)
            if request.unproven_bytes:
                self.limits.prove_body(caller, address, len(request.body), counted_bytes=request.unproven_bytes)
            self.nonces.use(signature, self.now_s())  # last: a request that was refused can be sent again
        except (NotAllowed, NotAuthenticated):
            record.login_failed = True
            raise
        return caller

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

    async def _owner(self, signature: Signature, address: str, signed: SignedRequest | None = None) -> Caller:
        """Raises NotAuthenticated for a wrong key, NotAllowed for an inactive account, TooManyAttempts.

        Without `signed`, the body has not been read, and a signature that may include it is not verified.
        """
        self.limits.check_key(address, signature.token_key)
        accounts, keys = self.accounts, (signature.consumer_key, signature.token_key)
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


def read_signature(authorization: str | None, parameters: Iterable[tuple[str, str]]) -> Signature | None:
    """Reads the signature from the header, else from query or form parameters (already unescaped).

    A header `Bearer CONSUMER:TOKEN:SECRET` counts as a signature. Returns None if that is not a key, or if one of the
    six parameters is missing: the request is unsigned. Raises NotAuthenticated for a header of more than
    `MAX_HEADER_BYTES` and for a signature that no API key can produce.
    """
    if authorization is not None and len(authorization.encode("utf-8", "replace")) > MAX_HEADER_BYTES:
        raise rejected(f"The Authorization header is longer than {MAX_HEADER_BYTES} bytes")
    bearer = _BEARER.fullmatch(authorization or "")
    if bearer is not None:
        return _of_bearer(bearer[1])
    given = header_parameters(authorization or "")
    if not all(name in given for name in _REQUIRED):
        given = {name.removeprefix("oauth_"): value for name, value in parameters if name.startswith("oauth_")}
    if not all(name in given for name in _REQUIRED):
        return None
    return _checked(given)


def header_parameters(authorization: str) -> Mapping[str, str]:
    """The `oauth_` parameters, by name without that. Ignores order and quotes; unescapes values once (`+` is a blank).

    Unauthenticated clients reach this function, so its time is linear in the length of the header.
    """
    scheme = _SCHEME.match(authorization)
    if scheme is None:
        return {}
    found = _PARAMETER.findall(authorization, scheme.end())
    return {
        name.removeprefix("oauth_"): unquote_plus(quoted or bare)
        for name, quoted, bare in found
        if name.startswith("oauth_")
    }


def _of_bearer(text: str) -> Signature | None:
    try:
        key = ApiKey.parse(text)
    except InvalidRequest:
        return None
    return Signature(consumer_key=key.consumer_key, token_key=key.token_key, token_secret=key.token_secret)


def _checked(given: Mapping[str, str]) -> Signature:
    method = given["signature_method"].upper()
    if method not in set(SignatureMethod):
        raise rejected(
            f"Unsupported signature method: {given['signature_method'][:40]} (use {' or '.join(SignatureMethod)})"
        )
    if _TIMESTAMP.fullmatch(given["timestamp"]) is None:
        raise rejected(f"Invalid timestamp: {given['timestamp'][:40]}")
    if method == SignatureMethod.HMAC_SHA1:
        return Signature(
            consumer_key=given["consumer_key"],
            token_key=given["token"],
            method=SignatureMethod.HMAC_SHA1,
            digest=given["signature"].replace(" ", "+"),  # a plus that was not escaped
            timestamp_s=int(given["timestamp"]),
            nonce=given["nonce"],
        )
    consumer_secret, ampersand, token_secret = given["signature"].partition("&")
    if consumer_secret or not ampersand:
        raise NotAuthenticated("Authorization Error: Invalid API key.")
    return Signature(
        consumer_key=given["consumer_key"],
        token_key=given["token"],
        token_secret=unquote(token_secret),
        timestamp_s=int(given["timestamp"]),
        nonce=given["nonce"],
    )
