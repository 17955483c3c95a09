"""OAuth 1.0 PLAINTEXT as MAAS checks it (vm-hosts.md 2)."""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import unquote

from tests.maas_api.messages import Answer, Refused, Request
from tests.maas_api.state import Maas

_PARAMETER = re.compile(r'(oauth_\w+)="([^"]*)"')
_NEEDED = ("consumer_key", "token", "signature", "signature_method", "timestamp", "nonce")
_MAX_AGE_S = 300
_ACCESS = 2


def api_key(maas: Maas, token: int) -> str:
    """The API key of a row of the site's tokens."""
    row = maas.rows.one("piston3_token", token)
    consumer = maas.rows.one("piston3_consumer", row["consumer_id"])
    return f"{consumer['key']}:{row['key']}:{row['secret']}"


def caller(maas: Maas, request: Request) -> dict[str, Any]:
    """Returns the row of the user. Raises Refused."""
    values = {name.removeprefix("oauth_"): unquote(value) for name, value in _PARAMETER.findall(request.authorization)}
    if not request.authorization.startswith("OAuth ") or any(name not in values for name in _NEEDED):
        raise Refused(Answer(status=401, body=b"Forbidden"))
    consumer = maas.rows.maybe("piston3_consumer", values["consumer_key"], "key")
    if consumer is None:
        raise _refused("Invalid API key.")
    token = maas.rows.maybe("piston3_token", values["token"], "key")
    if token is None or token["consumer_id"] != consumer["id"] or not _is_access(token):
        raise _refused(f"'Invalid access token: {values['token']}'")
    if values["signature_method"] != "PLAINTEXT" or unquote(values["signature"]) != f"&{token['secret']}":
        raise _refused("'Invalid signature.'")
    if float(values["timestamp"]) < time.time() - _MAX_AGE_S:
        raise _refused(f"'Expired timestamp: given {values['timestamp']}'")
    with maas.lock:
        nonce = (values["token"], values["nonce"])
        if nonce in maas.nonces:
            raise _refused(f"'Nonce already used: {values['nonce']}'")
        maas.nonces.add(nonce)
    user = maas.rows.one("auth_user", token["user_id"])
    if not user["is_active"]:
        raise Refused(Answer(status=403, body=b"User is not allowed access to this API."))
    return user


def _is_access(token: dict[str, Any]) -> bool:
    return bool(token["is_approved"]) and token["token_type"] == _ACCESS


def _refused(detail: str) -> Refused:
    return Refused(
        Answer(
            status=401,
            body=f"Authorization Error: {detail}".encode(),
            headers={"WWW-Authenticate": 'OAuth realm="OAuth"'},
        )
    )
