"""Computes OAuth 1.0 signatures with HMAC-SHA1 (RFC 5849, section 3.4)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections import Counter
from collections.abc import Iterable
from urllib.parse import quote, unquote, unquote_plus

from oauthlib.oauth1.rfc5849.signature import base_string_uri, normalize_parameters, signature_base_string

Pairs = Iterable[tuple[str, str]]

_PARAMETER = re.compile(r'(?<![A-Za-z0-9_.-])([A-Za-z0-9_.-]++)\s*+=\s*+(?:"([^"]*)"|([^",\s]*))')
_OAUTH = "oauth_"  # the other parameters of a header are fields of the request


def base_string(method: str, url: str, parameters: Pairs) -> str:
    """Returns what a client signs: the method, the URL without query, and all parameters in their canonical form.

    `parameters` are those of the header, the query and an urlencoded form, unescaped. A signature and a realm among
    those of the header are not signed. Raises ValueError for a URL without a valid host and for text that is not UTF-8.
    """
    every = normalize_parameters(list(parameters))  # type: ignore[arg-type]  # takes pairs, whatever its stub says
    return signature_base_string(method, base_string_uri(url), every)  # type: ignore[arg-type]  # and any method


def digest(token_secret: str, text: str) -> str:
    """Returns the signature of a base string, with an empty consumer secret, as in `oauth_signature`."""
    key = f"&{quote(token_secret, safe='~')}".encode()
    return base64.b64encode(hmac.digest(key, text.encode(), hashlib.sha1)).decode()


def is_signed(token_secret: str, text: str, given: str) -> bool:
    return hmac.compare_digest(digest(token_secret, text).encode(), given.encode("utf-8", "replace"))


def signed_parameters(authorization: str | None, query: Pairs, form: Pairs) -> list[tuple[str, str]] | None:
    """The parameters for `base_string`. A header is limited in length before this is called, a form by the caller.

    A field of the query or the form that the header repeats counts once: maas-client-go repeats all, and signs them so.
    None if the header has a field that is in neither: it would be signed in place of one that is executed.
    """
    in_header = [
        (name, _unescaped(name, quoted or bare))
        for name, quoted, bare in _PARAMETER.findall(_after_scheme(authorization or ""))
        if name != "realm"
    ]
    repeated = Counter(pair for pair in in_header if not pair[0].startswith(_OAUTH))
    every = list(in_header)
    for pair in (*query, *form):
        if repeated[pair]:
            repeated[pair] -= 1
        else:
            every.append(pair)
    if any(repeated.values()):
        return None
    return [(name, value) for name, value in every if name != "oauth_signature"]


def repeats_form(authorization: str | None, query: Pairs) -> bool:
    """Whether the header has fields of the request that are not in the query."""
    elsewhere = {"realm", *(name for name, _ in query)}
    names = (name for name, _, _ in _PARAMETER.findall(_after_scheme(authorization or "")))
    return any(name not in elsewhere and not name.startswith(_OAUTH) for name in names)


def _unescaped(name: str, value: str) -> str:
    """Returns the value of a parameter of the header; where fields are repeated, `+` is a blank."""
    return (unquote if name.startswith(_OAUTH) else unquote_plus)(value, errors="surrogateescape")


def _after_scheme(authorization: str) -> str:
    scheme, _, rest = authorization.strip().partition(" ")
    return rest if scheme.lower() == "oauth" else ""
