"""`users/`, `users/{username}/` and `account/`, where a caller minds API keys."""

from __future__ import annotations

from collections.abc import Mapping

from regiond.accounts.model import LONGEST_KEY_NAME, Caller
from regiond.api import schemas, shapes
from regiond.api.encoding.racks import encode_key, encode_new_key, encode_user
from regiond.api.endpoint import Call, Endpoint, Permission, Resource, Result
from regiond.api.fields import Field, Text
from regiond.api.replies import Reply, empty_reply, json_reply
from regiond.api.services import Services

_USER_RESULT = Result(doc="The user.", schema=shapes.USER)


async def _list(call: Call) -> Reply:
    return json_reply([encode_user(user) for user in await call.services.accounts.users()])


async def _whoami(call: Call) -> Reply:
    return json_reply(encode_user(call.caller))


async def _find(services: Services, path: Mapping[str, str]) -> Caller:
    return await services.accounts.user(path["username"])


async def _read(call: Call) -> Reply:
    return json_reply(encode_user(call.target))


async def _create_key(call: Call) -> Reply:
    name = call.values["name"]
    return json_reply(encode_new_key(name, await call.services.accounts.create_key(call.caller, name)))


async def _delete_key(call: Call) -> Reply:
    await call.services.accounts.delete_key(call.caller, call.values["token_key"])
    return empty_reply()


async def _list_keys(call: Call) -> Reply:
    return json_reply([encode_key(key) for key in await call.services.accounts.list_keys(call.caller)])


USERS = Resource(
    handler="UsersHandler",
    path="users/",
    doc="The people and programs that have an account.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="List users",
            result=Result(doc="The users.", schema=schemas.array(shapes.USER)),
            run=_list,
        ),
        Endpoint(
            method="GET",
            op="whoami",
            permission=Permission.USER,
            title="Who am I",
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
            fields=(Field(name="name", kind=Text(longest=LONGEST_KEY_NAME), default="", doc="What the key is for."),),
            title="Create an API key",
            doc="The secret is shown this once; only a hash of it is kept.",
            result=Result(doc="The new key.", schema=shapes.NEW_API_KEY),
            run=_create_key,
        ),
        Endpoint(
            method="POST",
            op="delete_authorisation_token",
            permission=Permission.USER,
            fields=(Field(name="token_key", kind=Text(), required=True, doc="The middle part of the API key."),),
            title="Delete an API key",
            doc="What signs with it is refused from then on.",
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
            result=Result(doc="The keys.", schema=schemas.array(shapes.API_KEY)),
            run=_list_keys,
        ),
    ),
)
RESOURCES = (USERS, USER, ACCOUNT)
