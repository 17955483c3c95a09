"""`users/` and `users/{username}/`."""

from __future__ import annotations

from regiond.accounts.model import MAX_EMAIL, MAX_PASSWORD, MAX_USERNAME, NewUser, UserChange
from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Resource, Result
from regiond.api.declaration.field_types import Boolean, Secret, Text
from regiond.api.declaration.fields import Field
from regiond.api.declaration.served import filled, found, given, serve, target, text
from regiond.api.serializers.accounts import USER_JSON

_USER = Result(doc="The user.", type=USER_JSON)
_EMAIL = Text(max_length=MAX_EMAIL)
# An empty password counts as absent: it neither sets nor removes one.
_PASSWORD = Secret(max_length=MAX_PASSWORD, blank=None)
_IS_ADMIN = given("is_superuser")
_list = serve(lambda s: s.users.list)
_whoami = serve(lambda s: s.users.read, username=lambda call: call.caller.username)
_find = found(lambda s: s.users.read, "username")
_create = serve(lambda s: s.users.create, new=filled(NewUser, is_admin=_IS_ADMIN))
_update = serve(lambda s: s.users.update, username=target("username"), change=filled(UserChange, is_admin=_IS_ADMIN))
_delete = serve(
    lambda s: s.users.delete,
    username=target("username"),
    transfer_to=text("transfer_resources_to"),
    to_administrators=given("leave_to_administrators"),
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
                    "username",
                    Text(max_length=MAX_USERNAME),
                    "Letters, digits and _ . @ + - only.",
                    recorded=True,
                    required=True,
                    example="ann",
                ),
                Field("email", _EMAIL, "Where people reach the user.", default="", example="ann@lab.example"),
                Field(
                    "password",
                    _PASSWORD,
                    "At least 12 characters, and not a common one. In the innkeeper command: password=- prompts.",
                    required=True,
                    example="vault-orbit-kettle-91",
                ),
                Field(
                    "is_superuser", Boolean(), "Whether the user is an administrator (default false).", default=False
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
                Field("email", Text(max_length=MAX_EMAIL), "Where people reach the user.", example="ann@lab.example"),
                Field("password", _PASSWORD, "A new password. In the innkeeper command: password=- prompts."),
                Field("is_superuser", Boolean(), "Whether the user is an administrator."),
                Field(
                    "is_active",
                    Boolean(),
                    "false rejects every login, API key and RPC client of the user, and disconnects the clients.",
                ),
            ),
        ),
        crud.delete(
            _delete,
            title="Delete a user",
            doc="Deletes its API keys, RPC clients and SSH keys too. 400 while it owns something (machines, machines "
            "without owner that it composed, devices, files, kept disks, exports) and the request does not say whose "
            "that becomes; the answer names it.",
            find=_find,
            fields=(
                Field(
                    "transfer_resources_to",
                    Text(max_length=MAX_USERNAME),
                    "The user who gets all that the user owns, an operator of its resource pools.",
                    recorded=True,
                    default="",
                ),
                Field(
                    "leave_to_administrators",
                    Boolean(),
                    "Instead, leave machines without owner, kept disks and exports to administrators alone (default "
                    "false). What needs an owner has to go to a user.",
                    default=False,
                ),
            ),
        ),
    ),
)
RESOURCES = (USERS, USER)
