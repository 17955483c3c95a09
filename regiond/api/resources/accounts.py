"""`users/`, `users/{username}/`, and `account/` with the caller's API keys."""

from __future__ import annotations

from collections.abc import Mapping

from regiond.accounts.model import MAX_KEY_NAME, ApiKey, ApiKeyView
from regiond.api import crud
from regiond.api.dry_run import DRY_RUN, deleting, is_dry_run
from regiond.api.endpoint import Call, Endpoint, Permission, Resource, Result
from regiond.api.field_types import Secret, Text
from regiond.api.fields import Field
from regiond.api.replies import Reply, json_reply
from regiond.api.serializers.accounts import API_KEY_JSON, NEW_API_KEY_JSON, USER_JSON
from regiond.api.services import Services
from regiond.caller import Caller
from regiond.deletion_plan import DeletionPlan

_USER = Result(doc="The user.", type=USER_JSON)


async def _list(call: Call) -> tuple[Caller, ...]:
    return await call.services.accounts.users()


async def _whoami(call: Call) -> Caller:
    return call.caller


async def _find(services: Services, path: Mapping[str, str]) -> Caller:
    return await services.accounts.user(path["username"])


async def _create_key(call: Call) -> tuple[str, ApiKey]:
    name = call.values["name"]
    return name, ApiKey.parse(await call.services.accounts.create_key(call.caller, name))


async def _delete_key(call: Call) -> DeletionPlan:
    token_key = call.values["token_key"]
    return await call.services.accounts.delete_key(call.caller, token_key, dry_run=is_dry_run(call))


async def _list_keys(call: Call) -> tuple[ApiKeyView, ...]:
    return await call.services.accounts.list_keys(call.caller)


async def _log_in(call: Call) -> Reply:
    values = call.values
    name, text = await call.services.logins.log_in(
        values["username"], values["password"], key_name=values["consumer"], address=call.client_address
    )
    return json_reply(NEW_API_KEY_JSON.encode((name, ApiKey.parse(text))))


# MAAS serves it outside its API; python-libmaas and `innkeeper login` call it.
LOGIN = Resource(
    handler="AuthenticateHandler",
    base="/MAAS/",
    path="accounts/authenticate/",
    doc="Login with user name and password.",
    described=False,
    endpoints=(
        Endpoint(
            method="POST",
            permission=Permission.ANYONE,
            title="Create an API key by user name and password",
            doc="429 with Retry-After after several failures of the address or the account.",
            fields=(
                Field(name="username", type=Text(), required=True, doc="The account."),
                Field(name="password", type=Secret(max_length=1024), required=True, doc="Its password."),
                Field(name="consumer", type=Text(max_length=MAX_KEY_NAME), default="", doc="The name of the key."),
            ),
            result=Result(doc="The new key.", type=NEW_API_KEY_JSON),
            run=_log_in,
        ),
    ),
)
USERS = Resource(
    handler="UsersHandler",
    path="users/",
    doc="Accounts of users and programs.",
    endpoints=(
        crud.list_of(USER_JSON, _list, title="List users", result="The users."),
        crud.read(
            _USER,
            _whoami,
            op="whoami",
            title="Read your own account",
            doc="The account that the API key belongs to.",
        ),
    ),
)
USER = Resource(
    handler="UserHandler",
    path="users/{username}/",
    doc="One user, by name.",
    endpoints=(crud.read_target(_USER, _find, title="Read a user"),),
)
ACCOUNT = Resource(
    handler="AccountHandler",
    path="account/",
    doc="The caller's own API keys.",
    endpoints=(
        crud.action(
            "create_authorisation_token",
            Result(doc="The new key.", type=NEW_API_KEY_JSON),
            _create_key,
            title="Create an API key",
            doc="Only this response contains the secret; the region stores a hash of it.",
            fields=(
                Field(
                    name="name",
                    type=Text(max_length=MAX_KEY_NAME),
                    default="",
                    doc="The purpose of the key.",
                ),
            ),
            permission=Permission.USER,
        ),
        Endpoint(
            method="POST",
            op="delete_authorisation_token",
            permission=Permission.USER,
            fields=(
                Field(name="token_key", type=Text(), required=True, doc="The middle part of the API key."),
                DRY_RUN,
            ),
            title="Delete an API key",
            doc="Requests signed with it are rejected from then on.",
            result=crud.NOTHING,
            success=204,
            destructive=True,
            run=deleting(_delete_key),
        ),
        crud.list_of(
            API_KEY_JSON,
            _list_keys,
            op="list_authorisation_tokens",
            title="List API keys",
            doc="The caller's keys, without their secrets.",
            result="The keys.",
        ),
    ),
)
RESOURCES = (USERS, USER, ACCOUNT)
