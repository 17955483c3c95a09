"""The certificates that the server trusts, and the identities of LXD whose permissions come from groups.

As published for LXD 6: `shared/api/auth.go` for the fields, `lxd/identities.go` for what is answered and refused, and
the release notes. An identity without permission to see another object hears that it is not found; one that
may see it, and not change it, that it is forbidden.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
import ssl
from typing import Any

from common.errors import InvalidRequest
from common.trust.certificates import fingerprint, load_certificate
from tests.lxd_http.messages import LOCAL, Answer, Refused, Request, check_etag, etag_of, sync
from tests.lxd_http.releases import IDENTITIES
from tests.lxd_http.state import NEVER, Identity, Lxd

PENDING, ACTIVE = "Client certificate (pending)", "Client certificate"
_SERVER_ADMIN = "server admin"
# What only the server as a whole permits: by method and path, with the permission.
_OF_SERVER = {
    "resources": "server can_view_resources",
    "metrics": "server can_view_metrics",
    "certificates": "server can_create_identities",
}


def is_trusted(lxd: Lxd, request: Request) -> bool:
    return request.caller == LOCAL or request.caller in lxd.certificates or request.caller in lxd.identities


def may_ask_untrusted(request: Request) -> bool:
    """Whether the server answers this to a client that it does not trust."""
    where = request.method, "/".join(request.parts)
    return where in {("GET", ""), ("POST", "certificates"), ("POST", "auth/identities/tls")}


def check_permission(lxd: Lxd, request: Request) -> None:
    """Refuses what the groups of an identity do not permit."""
    identity = lxd.identities.get(request.caller)
    if identity is None or _is_admin(lxd, request):
        return
    where = "/".join(request.parts)
    needed = _OF_SERVER.get("resources" if where.endswith("resources") else where)  # also those of storage pools
    if needed is not None and needed not in _permissions(lxd, request):
        raise Refused(403, f'User does not have entitlement "{needed.split()[1]}" on object "server:lxd"')
    if request.parts[:1] == ("instances",) and f"project {request.project} operator" not in _permissions(lxd, request):
        raise Refused(403, "Forbidden")


def _permissions(lxd: Lxd, request: Request) -> set[str]:
    return {one for group in lxd.identities[request.caller].groups for one in lxd.groups.get(group, ())}


def _is_admin(lxd: Lxd, request: Request) -> bool:
    if request.caller in lxd.identities:
        return _SERVER_ADMIN in _permissions(lxd, request)
    return is_trusted(lxd, request)


def add_certificate(lxd: Lxd, request: Request) -> Answer:
    """Adds that of the connection by a token, or another one by a client that is trusted already."""
    body = request.body()
    if not is_trusted(lxd, request):
        text = body.get("trust_token") or body.get("password") or ""
        secret = _decoded(text).get("secret")
        if secret not in lxd.trust_tokens:
            raise Refused(403, "not authorized")
        lxd.trust_tokens.remove(secret)
        lxd.certificates[request.caller] = {"name": body["name"], "type": "client"}
        return sync(None)
    if not body.get("certificate"):
        raise Refused(400, "Client is already trusted")
    found = _fingerprint(ssl.DER_cert_to_PEM_cert(base64.b64decode(body["certificate"])))
    if found in lxd.certificates or found in lxd.identities:
        raise Refused(409, "Certificate already in trust store")
    lxd.certificates[found] = {"name": body["name"], "type": "client"}
    return sync(None)


def read_certificate(lxd: Lxd, request: Request, which: str) -> Answer:
    """An identity's certificate is none of this list."""
    if which not in lxd.certificates or not _is_admin(lxd, request):
        raise Refused(404, "Certificate not found")
    return sync({"fingerprint": which, **lxd.certificates[which]}, etag=etag_of(lxd.certificates[which]))


def delete_certificate(lxd: Lxd, request: Request, which: str) -> Answer:
    read_certificate(lxd, request, which)
    del lxd.certificates[which]
    return sync(None)


def add_identity(lxd: Lxd, request: Request) -> Answer:
    """Activates a pending identity for the certificate of the connection, or makes a pending one and its token."""
    _check_has_identities(lxd)
    body = request.body()
    if is_trusted(lxd, request):
        return _add_pending(lxd, request, body)
    if not body.get("trust_token"):
        raise Refused(403, "Trust token required")
    if set(body) - {"trust_token"}:
        raise Refused(403, "Only trust token must be provided")
    secret = _decoded(body["trust_token"]).get("secret")
    pending = next((key for key, one in lxd.pending_identities.items() if one.secret == secret), None)
    if pending is None:
        raise Refused(500, "Failed during search for pending TLS identity: Not Found")
    found = lxd.pending_identities.pop(pending)
    found.certificate_pem = request.certificate_pem
    lxd.identities[request.caller] = found
    return sync(None)


def _add_pending(lxd: Lxd, request: Request, body: dict[str, Any]) -> Answer:
    if not _is_admin(lxd, request):
        raise Refused(403, 'User does not have entitlement "can_create_identities" on object "server:lxd"')
    if body.get("trust_token"):
        raise Refused(409, "Client already trusted")
    if not body.get("name"):
        raise Refused(400, "Identity name must be provided")
    if not body.get("token"):
        raise Refused(400, "Must provide a certificate")
    taken = {one.name for one in (*lxd.identities.values(), *lxd.pending_identities.values())}
    if body["name"] in taken:
        raise Refused(409, f'An identity with name "{body["name"]}" already exists')
    made = Identity(name=body["name"], groups=list(body.get("groups") or ()), secret=secrets.token_hex(16))
    lxd.pending_identities[secrets.token_hex(16)] = made
    token = {
        "client_name": made.name, "fingerprint": lxd.own_fingerprint, "addresses": [], "secret": made.secret,
        "expires_at": NEVER, "type": ACTIVE,
    }  # fmt: skip
    return sync(token)


def current_identity(lxd: Lxd, request: Request) -> Answer:
    """Every client may ask for its own; with its groups, which it need not be allowed to see."""
    _check_has_identities(lxd)
    found = lxd.identities.get(request.caller)
    if found is not None:
        return _current(lxd, _shown(lxd, request.caller), fine_grained=True)
    if request.caller not in lxd.certificates:
        raise Refused(400, "Current identity information must be requested via the HTTPS API")
    about = {"authentication_method": "tls", "type": "Client certificate (unrestricted)", "groups": []}
    name = lxd.certificates[request.caller]["name"]
    return _current(lxd, {**about, "id": request.caller, "name": name}, fine_grained=False)


def _current(lxd: Lxd, about: dict[str, Any], *, fine_grained: bool) -> Answer:
    return sync({**about, "fine_grained": fine_grained} if lxd.release.says_fine_grained else about)


def read_identity(lxd: Lxd, request: Request, which: str) -> Answer:
    _check_may_see(lxd, request, which)
    return sync(_shown(lxd, which), etag=etag_of(_shown(lxd, which)))


def replace_identity(lxd: Lxd, request: Request, which: str) -> Answer:
    """An identity without further permissions may change its own certificate, and nothing else."""
    _check_has_identities(lxd)
    if which not in lxd.identities:
        raise Refused(404, "Not Found")
    body = request.body()
    if not _is_admin(lxd, request):
        if request.caller != which:
            raise Refused(403, "Forbidden")
        if list(body.get("groups") or ()) != lxd.identities[which].groups:
            raise Refused(403, "Only the certificate may be changed")
        if not body.get("tls_certificate"):
            raise Refused(400, "Must provide a certificate")
    check_etag(request, etag_of(_shown(lxd, which)))
    lxd.identities[which].groups = list(body.get("groups") or ())
    if body.get("tls_certificate"):
        found = lxd.identities.pop(which)
        found.certificate_pem = body["tls_certificate"]
        lxd.identities[_fingerprint(found.certificate_pem)] = found
    return sync(None)


def delete_identity(lxd: Lxd, request: Request, which: str) -> Answer:
    _check_may_see(lxd, request, which)
    if not _has_permission(lxd, request, "server can_delete_identities"):
        raise Refused(403, "Forbidden")
    del lxd.identities[which]
    return sync(None)


def _check_may_see(lxd: Lxd, request: Request, which: str) -> None:
    _check_has_identities(lxd)
    if which not in lxd.identities or not _has_permission(lxd, request, "server can_view_identities"):
        raise Refused(404, "Not Found")


def _has_permission(lxd: Lxd, request: Request, permission: str) -> bool:
    return _is_admin(lxd, request) or permission in _permissions(lxd, request)


def _check_has_identities(lxd: Lxd) -> None:
    if IDENTITIES not in lxd.release.extensions:
        raise Refused(404, "not found")


def _shown(lxd: Lxd, which: str) -> dict[str, Any]:
    found = lxd.identities[which]
    return {
        "authentication_method": "tls", "type": ACTIVE, "id": which, "name": found.name, "groups": found.groups,
        "tls_certificate": found.certificate_pem,
    }  # fmt: skip


def _decoded(token: str) -> dict[str, Any]:
    try:
        found = json.loads(base64.b64decode(token, validate=True))
    except (binascii.Error, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _fingerprint(pem: str) -> str:
    try:
        return fingerprint(load_certificate(pem))
    except InvalidRequest as error:
        raise Refused(400, f"Failed to parse certificate: {error}") from error
