"""Users of MAAS with their SSH keys, their API keys, and whether they are administrators. Pure."""

from __future__ import annotations

from common.maas.inventory import ApiKey, User
from innkeeper.maas_import.tables import Row, Tables
from innkeeper.maas_import.user_groups import administrator_groups, members_of

SYSTEM_USERS = {"MAAS", "maas-init-node"}
_NO_PASSWORD = "!"  # noqa: S105  # how Django marks an account that cannot log in with one
_ACCESS_TOKEN = 2


def users_of(tables: Tables) -> tuple[User, ...]:
    """The people: users with which MAAS itself works are left out."""
    profiles = tables.by("maasserver_userprofile", "user_id")
    ssh_keys = tables.grouped("maasserver_sshkey", "user_id")
    api_keys = _api_keys(tables)
    administrators = _administrators(tables)
    found: list[User] = []
    for row in tables.ordered("auth_user"):
        id_, name = row.text("id"), row.text("username")
        if name in SYSTEM_USERS:
            continue
        password, profile = row.text("password"), profiles.get(id_)
        found.append(
            User(
                id=id_,
                username=name,
                email=row.text("email"),
                full_name=row.text("last_name"),
                is_admin=row.boolean("is_superuser") if administrators is None else id_ in administrators,
                active=row.boolean("is_active", default=True),
                local=profile is None or profile.boolean("is_local", default=True),
                password_hash="" if password.startswith(_NO_PASSWORD) else password,
                ssh_keys=tuple(dict.fromkeys(one.text("key").strip() for one in ssh_keys.get(id_, ()))),
                api_keys=tuple(api_keys.get(id_, ())),
            )
        )
    return tuple(found)


def _api_keys(tables: Tables) -> dict[str, list[ApiKey]]:
    """The keys of people by user. Tokens of machines, and those that were never approved, are no keys of people."""
    consumers = tables.by("piston3_consumer")
    of_machines = {row.text("token_id") for row in tables["maasserver_nodekey"]}
    found: dict[str, list[ApiKey]] = {}
    for token in tables.ordered("piston3_token"):
        consumer = consumers.get(token.text("consumer_id"))
        if consumer is not None and token.text("id") not in of_machines and _is_access(token):
            key = ApiKey(
                consumer=consumer.text("key"),
                token=token.text("key"),
                secret=token.text("secret"),
                name=consumer.text("name"),
            )
            found.setdefault(token.text("user_id"), []).append(key)
    return found


def _is_access(token: Row) -> bool:
    return token.integer("token_type") == _ACCESS_TOKEN and token.boolean("is_approved") and bool(token.text("secret"))


def _administrators(tables: Tables) -> set[str] | None:
    """Ids of the members of the group of administrators, since 3.8. None: the column of the user decides, as before."""
    if not (tables.has("maasserver_usergroup") and tables.has("tuple")):
        return None
    return members_of(tables, administrator_groups(tables))
