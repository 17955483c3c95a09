"""The signature of a request, and the parts that one with HMAC-SHA1 covers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from attrs import field, frozen
from multipart import parse_options_header

from common.errors import InvalidRequest, NotAuthenticated
from regiond.accounts.model import SignatureMethod
from regiond.api.pipeline.oauth_hmac import base_string, is_signed, repeats_form, signed_parameters
from regiond.api.pipeline.request import MULTIPART, ApiRequest, read_body, read_query

MAX_SIGNED_FORM_BYTES = 1024 * 1024  # takes about 50 ms, in which the event loop does nothing else
_FORM = "application/x-www-form-urlencoded"


@frozen(kw_only=True)
class Signature:
    """The signature of a request, not yet checked against an API key.

    With PLAINTEXT, `token_secret` is the secret that was sent; with HMAC-SHA1, `digest` is what the client computed.
    Without a timestamp the key was sent as a bearer token.
    """

    consumer_key: str
    token_key: str
    token_secret: str = field(default="", repr=False)
    method: SignatureMethod = SignatureMethod.PLAINTEXT
    digest: str = ""
    timestamp_s: int | None = None
    nonce: str = ""


@frozen
class SignedRequest:
    """The parts of a request that a signature covers: of the body, only an urlencoded form.

    Of a PUT, maas-client-go does not sign the form either, so both signatures are valid. A multipart form is signed
    only if the header repeats fields that are not in the query, as maas-client-go does: then exactly those that it has.
    """

    _request: ApiRequest

    def verifier(self, signature: Signature) -> Callable[[str], bool]:
        """Returns what tells whether a secret made the signature. Raises NotAuthenticated if it cannot be verified."""
        request = self._request
        try:
            query = read_query(request.query)
            form = self._form(query)
        except InvalidRequest as error:
            raise rejected(f"The signature cannot be verified: {error.message}") from None
        forms = [form, ()] if form and request.method == "PUT" else [form]
        found = [signed_parameters(request.authorization, query, one) for one in forms]
        texts = [self._text(signature, one) for one in found if one is not None]
        return lambda secret: any(is_signed(secret, text, signature.digest) for text in texts)

    def _text(self, signature: Signature, parameters: Sequence[tuple[str, str]]) -> str:
        request = self._request
        _check_same(signature, parameters)
        try:
            return base_string(request.sent_method or request.method, request.origin + request.sent_path, parameters)
        except ValueError:  # an odd host, or bytes that are not UTF-8: what no client signs
            raise NotAuthenticated("Invalid API key.") from None

    def _form(self, query: Sequence[tuple[str, str]]) -> Sequence[tuple[str, str]]:
        request = self._request
        kind = parse_options_header(request.content_type or "")[0]
        is_repeated = kind == MULTIPART and repeats_form(request.authorization, query)
        if not request.body or (kind != _FORM and not is_repeated):
            return ()
        if len(request.body) > MAX_SIGNED_FORM_BYTES:
            raise rejected(
                f"A form of more than {MAX_SIGNED_FORM_BYTES} bytes cannot be signed with HMAC-SHA1: send "
                "multipart/form-data, whose fields the header does not repeat, or JSON"
            )
        if is_repeated:
            body = read_body(request.content_type, request.body)
            fields = [(name, str(value)) for name, values in body.values.items() for value in values]
            return [*fields, *body.signature, *([] if body.op is None else [("op", body.op)])]
        try:
            return read_query(request.body.decode())
        except UnicodeDecodeError:
            raise rejected("The form is not valid UTF-8") from None


def _check_same(signature: Signature, parameters: Sequence[tuple[str, str]]) -> None:
    """Raises NotAuthenticated if what decides is not what is signed: a copied signature beside a new nonce."""
    decisive: Mapping[str, Callable[[str], bool]] = {
        "oauth_consumer_key": signature.consumer_key.__eq__,
        "oauth_token": signature.token_key.__eq__,
        "oauth_nonce": signature.nonce.__eq__,
        "oauth_timestamp": lambda given: given.isdecimal() and int(given[:12]) == signature.timestamp_s,
        "oauth_signature_method": lambda given: given.upper() == SignatureMethod.HMAC_SHA1,
    }
    for name, is_same in decisive.items():
        given = [value for other, value in parameters if other == name]
        if len(given) != 1 or not is_same(given[0]):
            raise rejected(f"The signature cannot be verified: send {name} once, with what is signed")


def rejected(detail: str) -> NotAuthenticated:
    """The error of a signature that cannot be valid, in the words of MAAS."""
    return NotAuthenticated(f"Authorization Error: {detail!r}")
