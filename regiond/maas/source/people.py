"""Users of a MAAS, from its answers. Pure."""

from __future__ import annotations

from common.maas.inventory import ApiKey, User
from regiond.maas.source.answers import Answers, Malformed, Row, flag, required, text

# Users that MAAS makes for itself.
SYSTEM_USERS = frozenset({"MAAS", "maas-init-node"})


def users(answers: Answers) -> tuple[User, ...]:
    """The users; only the one whose API key asks has API keys and SSH keys, since MAAS shows them to nobody else.

    The API shows no ids of users: their names stand for them.
    """
    asking = required(answers.user, "username")
    found = [_user(one, answers, asking) for one in answers.users if text(one, "username") not in SYSTEM_USERS]
    return tuple(sorted(found, key=lambda user: user.username))


def _user(one: Row, answers: Answers, asking: str) -> User:
    name = required(one, "username")
    return User(
        id=name,
        username=name,
        email=text(one, "email"),
        is_admin=flag(one, "is_superuser"),
        local=flag(one, "is_local", default=True),
        ssh_keys=tuple(required(each, "key") for each in answers.ssh_keys) if name == asking else (),
        api_keys=tuple(_api_key(each) for each in answers.tokens) if name == asking else (),
    )


def _api_key(one: Row) -> ApiKey:
    parts = required(one, "token").split(":")
    if len(parts) != 3:
        raise Malformed("token has no three parts")
    return ApiKey(consumer=parts[0], token=parts[1], secret=parts[2], name=text(one, "name"))
