"""The actions of an administrator on the trust between a host and Innkeeper: one form each."""

from __future__ import annotations

from typing import Any

from common.errors import InvalidRequest
from regiond.api.resources.hosts.vm_hosts import HOST
from regiond.credentials.model import read_trust_token, unusable_token
from regiond.ui.rendering.page import Visit
from regiond.ui.texts import constant

_NO_SUCH_FORM = constant(
    "This is no trust token. Copy the whole line that lxc config trust add prints, or incus config trust add. The "
    "trust password of an old server of LXD is given under Password."
)
_PUT_FIELDS = {  # what each way to trust changes
    "token": ("password",),
    "password": ("password",),
    "login": ("power_pass",),
    "certificate": ("certificate", "key"),
}


async def act_on_trust(visit: Visit, host_id: int) -> Any:
    """Runs the `action` of the form. Returns the host, or the operation of a rotation or refresh. Raises its errors."""
    path, given = {"id": str(host_id)}, visit.request.given
    match given("action"):
        case "accept":
            return await visit.act(HOST, "POST", "trust", path=path, fields={"fingerprint": given("fingerprint")})
        case "confirm":
            fields = {given("field"): given("value")}
            return await visit.act(HOST, "POST", "confirm_server", path=path, fields=fields)
        case "rotate":
            token = {"password": given("password").strip() or None}
            return await visit.act(HOST, "POST", "rotate", path=path, fields=token)
        case "retry":
            return await visit.act(HOST, "POST", "refresh", path=path)
        case action if action in _PUT_FIELDS:
            changes = {name: _required(visit, name) for name in _PUT_FIELDS[action]}
            if action == "token" and read_trust_token(changes["password"]) is None:  # it would count as a password
                raise InvalidRequest.of({"password": [unusable_token(changes["password"]) or _NO_SUCH_FORM]})
            return await visit.act(HOST, "PUT", path=path, fields=changes)
        case action:
            raise InvalidRequest(f"There is no action {action!r}.")


def _required(visit: Visit, name: str) -> str:
    value = visit.request.given(name).strip()
    if not value:
        raise InvalidRequest.of({name: ["This field is required."]})
    return value
