"""Answers about users, and about what only the caller may see: continuity.md 2.10 and 3."""

from __future__ import annotations

from typing import Any

from tests.maas_api.messages import Answer, Request, json_answer
from tests.maas_api.state import Maas

_ACCESS = 2
_SYSTEM = ("MAAS", "maas-init-node")


def users(maas: Maas, _: Request) -> Answer:
    """All users by name: MAAS's own ones and inactive ones, too."""
    found = sorted(maas.rows.all("auth_user"), key=lambda one: str(one["username"]))
    return json_answer([_user(maas, one) for one in found])


def whoami(maas: Maas, request: Request) -> Answer:
    return json_answer(_user(maas, request.user))


def tokens(maas: Maas, request: Request) -> Answer:
    """The API keys of the caller, in clear."""
    found: list[dict[str, str]] = []
    for one in maas.rows.where("piston3_token", "user_id", request.user["id"]):
        if one["token_type"] == _ACCESS and one["is_approved"]:
            consumer = maas.rows.one("piston3_consumer", one["consumer_id"])
            found.append({"name": consumer["name"], "token": f"{consumer['key']}:{one['key']}:{one['secret']}"})
    return json_answer(found)


def ssh_keys(maas: Maas, request: Request) -> Answer:
    return json_answer(
        [
            {
                "id": one["id"],
                "key": one["key"],
                "keysource": "",
                "resource_uri": f"/MAAS/api/2.0/account/prefs/sshkeys/{one['id']}/",
            }
            for one in maas.rows.where("sshkey", "user_id", request.user["id"])
        ]
    )


def _user(maas: Maas, one: Any) -> dict[str, Any]:
    profile = maas.rows.maybe("userprofile", one["id"], "user_id")
    return {
        "username": one["username"], "email": one["email"] or "", "is_superuser": one["is_superuser"],
        "is_local": one["username"] in _SYSTEM or profile is None or profile["is_local"],
        "resource_uri": f"/MAAS/api/2.0/users/{one['username']}/",
    }  # fmt: skip
