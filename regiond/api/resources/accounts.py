"""`users/`, `users/{username}/`, and `account/` with the caller's API keys."""

from __future__ import annotations

from collections.abc import Mapping

from regiond.accounts.model import MAX_KEY_NAME, ApiKey
from regiond.api.endpoint import Call, Endpoint, Permission, Resource, Result
from regiond.api.field_types import Text
from regiond.api.fields import Field
from regiond.api.replies import Reply, empty_reply, json_reply
from regiond.api.serializer import array
from regiond.api.serializers.accounts import API_KEY_JSON, NEW_API_KEY_JSON, USER_JSON
from regiond.api.services import Services
from regiond.caller import Caller

_USER_RESULT = Result(doc="The user.", type=USER_JSON)


async def _list(call: Call) -> Reply:
    return json_reply([USER_JSON.encode(user) for user in await call.services.accounts.users()])


async def _whoami(call: Call) -> Reply:
    return json_reply(USER_JSON.encode(call.caller))


async def _find(services: Services, path: Mapping[str, str]) -> Caller:
    return await services.accounts.user(path["username"])


async def _read(call: Call) -> Reply:
    return json_reply(USER_JSON.encode(call.target))


async def _create_key(call: Call) -> Reply:
    name = call.values["name"]
    created = ApiKey.parse(await call.services.accounts.create_key(call.caller, name))
    return json_reply(NEW_API_KEY_JSON.encode((name, created)))


async def _delete_key(call: Call) -> Reply:
    await call.services.accounts.delete_key(call.caller, call.values["token_key"])
    return empty_reply()


async def _list_keys(call: Call) -> Reply:
    return json_reply([API_KEY_JSON.encode(key) for key in await call.services.accounts.list_keys(call.caller)])


USERS = Resource(
    handler="UsersHandler",
    path="users/",
    doc="Accounts of users and programs.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="List users",
            result=Result(doc="The users.", type=array(USER_JSON)),
            run=_list,
        ),
        Endpoint(
            method="GET",
            op="whoami",
            permission=Permission.USER,
            title="Read your own account",
            doc="The account that the API key belongs to.",
            result=_USER_RESULT,
            run=_whoami,
        ),
    ),
)
USER = Resource(
    handler="UserHandler",
    path="users/{username}/",
    doc="One user, by name.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="Read a user",
            result=_USER_RESULT,
            find=_find,
            run=_read,
        ),
    ),
)
ACCOUNT = Resource(
    handler="AccountHandler",
    path="account/",
    doc="The caller's own API keys.",
    endpoints=(
        Endpoint(
            method="POST",
            op="create_authorisation_token",
            permission=Permission.USER,
            fields=(
                Field(
                    name="name",
                    type=Text(max_length=MAX_KEY_NAME),
                    default="",
                    doc="The purpose of the key.",
                ),
            ),
            title="Create an API key",
            doc="Only this response contains the secret; the region stores a hash of it.",
            result=Result(doc="The new key.", type=NEW_API_KEY_JSON),
            run=_create_key,
        ),
        Endpoint(
            method="POST",
            op="delete_authorisation_token",
            permission=Permission.USER,
            fields=(Field(name="token_key", type=Text(), required=True, doc="The middle part of the API key."),),
            title="Delete an API key",
            doc="Requests signed with it are rejected from then on.",
            result=Result(doc="Nothing."),
            success=204,
            run=_delete_key,
        ),
        Endpoint(
            method="GET",
            op="list_authorisation_tokens",
            permission=Permission.USER,
            title="List API keys",
            doc="The caller's keys, without their secrets.",
            result=Result(doc="The keys.", type=array(API_KEY_JSON)),
            run=_list_keys,
        ),
    ),
)
RESOURCES = (USERS, USER, ACCOUNT)
