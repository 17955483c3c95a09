"""`users/` and `users/{username}/`."""

from __future__ import annotations

from collections.abc import Mapping

from regiond.accounts.model import MAX_EMAIL, MAX_PASSWORD, MAX_USERNAME, NewUser, User, UserChange
from regiond.api.declaration import crud
from regiond.api.declaration.dry_run import is_dry_run
from regiond.api.declaration.endpoint import Call, Resource, Result
from regiond.api.declaration.field_types import Boolean, Secret, Text
from regiond.api.declaration.fields import Field
from regiond.api.serializers.accounts import USER_JSON
from regiond.api.services import Services
from regiond.deletion_plan import DeletionPlan

_USER = Result(doc="The user.", type=USER_JSON)
_EMAIL = Text(max_length=MAX_EMAIL)
# An empty password is no password: it neither sets nor removes one.
_PASSWORD = Secret(max_length=MAX_PASSWORD, blank=None)


async def _list(call: Call) -> tuple[User, ...]:
    return await call.services.users.list(caller=call.caller)


async def _whoami(call: Call) -> User:
    return await call.services.users.read(call.caller.username, caller=call.caller)


async def _find(services: Services, path: Mapping[str, str]) -> User:
    return await services.users.read(path["username"], caller=services.caller)


async def _create(call: Call) -> User:
    values = call.values
    new = NewUser(
        username=values["username"],
        email=values["email"],
        password=values["password"],
        is_admin=values["is_superuser"],
    )
    return await call.services.users.create(call.caller, new)


async def _update(call: Call) -> User:
    values = call.values
    change = UserChange(
        email=values["email"],
        password=values["password"],
        is_admin=values["is_superuser"],
        is_active=values["is_active"],
    )
    return await call.services.users.update(call.caller, call.target.username, change)


async def _delete(call: Call) -> DeletionPlan:
    return await call.services.users.delete(
        call.caller,
        call.target.username,
        transfer_to=call.values["transfer_resources_to"] or None,
        dry_run=is_dry_run(call),
    )


USERS = Resource(
    handler="UsersHandler",
    path="users/",
    doc="Accounts of users and programs.",
    endpoints=(
        crud.list_of(
            USER_JSON, _list, title="List users", result="The users; for an ordinary user, only the own account."
        ),
        crud.read(
            _USER,
            _whoami,
            op="whoami",
            title="Read your own account",
            doc="The account that the API key belongs to.",
        ),
        crud.create(
            _USER,
            _create,
            title="Create a user",
            fields=(
                Field(
                    name="username",
                    type=Text(max_length=MAX_USERNAME),
                    recorded=True,
                    required=True,
                    doc="Letters, digits and _ . @ + - only.",
                    example="ann",
                ),
                Field(
                    name="email", type=_EMAIL, default="", doc="Where people reach the user.", example="ann@lab.example"
                ),
                Field(
                    name="password",
                    type=_PASSWORD,
                    required=True,
                    doc="At least 12 characters, and not a common one. In the innkeeper command: password=- prompts.",
                    example="vault-orbit-kettle-91",
                ),
                Field(
                    name="is_superuser",
                    type=Boolean(),
                    default=False,
                    doc="Whether the user is an administrator (default false).",
                ),
            ),
        ),
    ),
)
USER = Resource(
    handler="UserHandler",
    path="users/{username}/",
    doc="One user, by name. An ordinary user finds only the own account.",
    endpoints=(
        crud.read_target(_USER, _find, title="Read a user"),
        crud.update(
            _USER,
            _update,
            title="Change a user",
            doc="A new password or a deactivation ends the user's logins; other API keys stay.",
            find=_find,
            fields=(
                Field(
                    name="email",
                    type=Text(max_length=MAX_EMAIL),
                    doc="Where people reach the user.",
                    example="ann@lab.example",
                ),
                Field(
                    name="password",
                    type=_PASSWORD,
                    doc="A new password. In the innkeeper command: password=- prompts.",
                ),
                Field(name="is_superuser", type=Boolean(), doc="Whether the user is an administrator."),
                Field(
                    name="is_active",
                    type=Boolean(),
                    doc="false rejects every login, API key and RPC client of the user, and disconnects the clients.",
                ),
            ),
        ),
        crud.delete(
            _delete,
            title="Delete a user",
            doc="Deletes its API keys, RPC clients and SSH keys too. 400 while it owns machines and nobody takes them.",
            find=_find,
            fields=(
                Field(
                    name="transfer_resources_to",
                    type=Text(max_length=MAX_USERNAME),
                    recorded=True,
                    default="",
                    doc="The user who becomes the owner of the machines.",
                ),
            ),
        ),
    ),
)
RESOURCES = (USERS, USER)
