"""The address of a MAAS, the key with which it is called, and the certificate that it may present."""

from __future__ import annotations

from urllib.parse import quote, urlsplit, urlunsplit

from attrs import field, frozen
from cryptography import x509

from common.errors import InvalidRequest
from common.trust.server_trust import BY_THE_COMPUTER, ServerTrust, fingerprint_of

PREFIX = "/MAAS"
API_PATH = f"{PREFIX}/api/2.0/"
MAX_URL = 1000
_MAX_KEY = 300
_EXAMPLE = "Example: http://maas.example.com:5240/MAAS"


@frozen(kw_only=True)
class ApiCredential:
    """The three parts of an API key. MAAS's consumer secret is always empty."""

    consumer: str
    token: str = field(repr=False)
    secret: str = field(repr=False)


@frozen(kw_only=True)
class MaasAccess:
    """`url` is the base of the API, with its last slash, such as `http://maas.example.com:5240/MAAS/api/2.0/`."""

    url: str
    credential: ApiCredential
    trust: ServerTrust = BY_THE_COMPUTER

    @property
    def label(self) -> str:
        """The address as people write it: without the API's path."""
        return self.url.removesuffix("/api/2.0/")


@frozen(kw_only=True)
class MaasAddress:
    """The URL of a MAAS as a person typed it, and what its certificate has to be: `ca` or `fingerprint`, or neither."""

    url: str
    ca: str = ""  # PEM
    fingerprint: str = ""

    def with_key(self, key: str) -> MaasAccess:
        """Raises InvalidRequest with `fields`, as `maas_access` does."""
        return maas_access(self.url, key, authority_pem=self.ca, fingerprint=self.fingerprint)


def maas_access(url: str, key: str, *, authority_pem: str = "", fingerprint: str = "") -> MaasAccess:
    """Returns the access that a person typed. Raises InvalidRequest with `fields`.

    `authority_pem`: certificates of authorities that replace those of the computer; `fingerprint`: the SHA-256 of the
    only certificate that is accepted. At most one of them, and only for https.
    """
    problems: dict[str, list[str]] = {}
    base, credential, trust = "", ApiCredential(consumer="", token="", secret=""), BY_THE_COMPUTER
    try:
        base = api_base(url)
    except InvalidRequest as error:
        problems["url"] = [error.message]
    try:
        credential = api_credential(key)
    except InvalidRequest as error:
        problems["key"] = [error.message]
    try:
        trust = _trust(base, authority_pem, fingerprint)
    except InvalidRequest as error:
        problems["fingerprint" if fingerprint else "ca"] = [error.message]
    if problems:
        raise InvalidRequest.of(problems)
    return MaasAccess(url=base, credential=credential, trust=trust)


def api_base(text: str) -> str:
    """Returns the API's base for `http://host:5240`, `…/MAAS`, `…/MAAS/r/machines` or `…/MAAS/api/2.0/`.

    Raises InvalidRequest.
    """
    written = text.strip()
    try:
        parts = urlsplit(written)
        netloc = parts.netloc.encode("idna").decode("ascii")
        named = bool(parts.hostname) and "_" not in (parts.hostname or "")  # Twisted does not resolve names with "_"
        usable = named and parts.scheme in ("http", "https") and (parts.port is None or parts.port > 0)
    except ValueError:  # invalid port, brackets or domain name
        usable = False
    if len(written) > MAX_URL or not written.isprintable():
        raise InvalidRequest(f"The address of a MAAS has at most {MAX_URL} printable characters. {_EXAMPLE}")
    if "@" in written:
        raise InvalidRequest(f"The address has a user name or a password; MAAS takes an API key instead. {_EXAMPLE}")
    if not usable or parts.query or parts.fragment:
        raise InvalidRequest(f"'{written}' is no address of a MAAS. {_EXAMPLE}")
    before, _, _ = f"{parts.path.rstrip('/')}/".partition(f"{PREFIX}/")
    return urlunsplit((parts.scheme, netloc, quote(before.rstrip("/"), safe="/%") + API_PATH, "", ""))


def api_credential(key: str) -> ApiCredential:
    """Raises InvalidRequest; the message does not repeat the key."""
    parts = key.strip().split(":")
    if len(parts) != 3 or not all(parts) or not key.isascii() or len(key) > _MAX_KEY:
        raise InvalidRequest(
            "An API key of MAAS has three parts, separated by colons: consumer:token:secret. MAAS shows it on the page "
            "'API keys' of the user."
        )
    consumer, token, secret = parts
    return ApiCredential(consumer=consumer, token=token, secret=secret)


def _trust(base: str, authority_pem: str, fingerprint: str) -> ServerTrust:
    if not authority_pem and not fingerprint:
        return BY_THE_COMPUTER
    if base and not base.startswith("https:"):
        raise InvalidRequest("A certificate is verified for https only, and the address begins with http.")
    if authority_pem and fingerprint:
        raise InvalidRequest("Give the certificates of an authority or a fingerprint, not both.")
    if fingerprint:
        return ServerTrust(fingerprint=fingerprint_of(fingerprint))
    try:
        x509.load_pem_x509_certificates(authority_pem.encode())
    except ValueError as error:
        raise InvalidRequest("This has no certificate in PEM form.") from error
    return ServerTrust(authority_pem=authority_pem)
