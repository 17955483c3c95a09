"""`account/`: the caller's API keys and password, and the login with user name and password."""

from __future__ import annotations

from datetime import timedelta

from regiond.accounts.model import MAX_KEY_NAME, MAX_PASSWORD, ApiKey, SignatureMethod
from regiond.api.declaration import crud
from regiond.api.declaration.dry_run import DRY_RUN, PLAN, deleting
from regiond.api.declaration.endpoint import Call, Endpoint, Resource, Result
from regiond.api.declaration.field_types import Choice, Integer, Secret, Text
from regiond.api.declaration.fields import Field
from regiond.api.declaration.served import serve
from regiond.api.replies import Reply, empty_reply, json_reply
from regiond.api.serializers.accounts import API_KEY_JSON, NEW_API_KEY_JSON
from regiond.requests.caller import Permission

MAX_KEY_LIFETIME_S = 10 * 365 * 24 * 3600


async def _create_key(call: Call) -> tuple[str, ApiKey]:
    name, lifetime_s = call.values["name"], call.values["lifetime_s"]
    lifetime = None if lifetime_s is None else timedelta(seconds=lifetime_s)
    method = SignatureMethod(call.values["signature_method"])
    accounts = call.services.accounts
    return name, ApiKey.parse(await accounts.create_key(call.caller, name, lifetime=lifetime, method=method))


async def _change_password(call: Call) -> Reply:
    values = call.values
    await call.services.logins.change_password(
        call.caller, values["current_password"], values["password"], address=call.client_address
    )
    return empty_reply()


def _token_key(text: str) -> str:
    """Returns the middle part of an API key, or the text itself: MAAS accepts both."""
    parts = text.split(":")
    return parts[1] if len(parts) == 3 else text


_delete_key = serve(lambda s: s.accounts.delete_key, token_key=lambda call: _token_key(call.values["token_key"]))
_rename_key = serve(lambda s: s.accounts.rename_key, "name", token_key=lambda call: _token_key(call.values["token"]))
_list_keys = serve(lambda s: s.accounts.list_keys)


async def _log_in(call: Call) -> Reply:
    values = call.values
    name, text = await call.services.logins.log_in(
        values["username"], values["password"], key_name=values["consumer"], address=call.client_address
    )
    return json_reply(NEW_API_KEY_JSON.encode((name, ApiKey.parse(text))))


# MAAS serves the login outside its API; python-libmaas and `innkeeper login` call it.
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
                Field("username", Text(), "The account.", recorded=True, required=True, example="ann"),
                Field(
                    "password", Secret(max_length=1024), "Its password.", required=True, example="vault-orbit-kettle-91"
                ),
                Field("consumer", Text(max_length=MAX_KEY_NAME), "The name of the key.", recorded=True, default=""),
            ),
            result=Result(doc="The new key.", type=NEW_API_KEY_JSON),
            run=_log_in,
        ),
    ),
)
ACCOUNT = Resource(
    handler="AccountHandler",
    path="account/",
    doc="The caller's own API keys and password.",
    endpoints=(
        crud.action(
            "create_authorisation_token",
            Result(doc="The new key.", type=NEW_API_KEY_JSON),
            _create_key,
            title="Create an API key",
            doc="Only this response contains the secret; of a key for PLAINTEXT the region stores a hash of it, of one "
            "for HMAC-SHA1 the encrypted secret.",
            fields=(
                Field(
                    "name",
                    Text(max_length=MAX_KEY_NAME),
                    "The purpose of the key.",
                    recorded=True,
                    default="",
                    example="laptop",
                ),
                Field(
                    "lifetime_s",
                    Integer(minimum=60, maximum=MAX_KEY_LIFETIME_S, unit="seconds"),
                    (
                        "Seconds until the key expires (default: never). A key that is created with an expiring key "
                        "expires no later."
                    ),
                ),
                Field(
                    "signature_method",
                    Choice(choices=tuple(SignatureMethod)),
                    (
                        "How requests are signed with the key. HMAC-SHA1 is for clients that know only that, such as "
                        "cluster-api-provider-maas."
                    ),
                    default=SignatureMethod.PLAINTEXT.value,
                ),
            ),
            permission=Permission.USER,
        ),
        Endpoint(
            method="POST",
            op="delete_authorisation_token",
            permission=Permission.USER,
            fields=(
                Field("token_key", Text(), "The API key, or its middle part.", required=True, example="abc"),
                DRY_RUN,
            ),
            title="Delete an API key",
            doc="Requests signed with it are rejected from then on, and the RPC clients that it issued end.",
            result=crud.NOTHING,
            success=204,
            other_answers=((200, PLAN),),
            destructive=True,
            run=deleting(_delete_key),
        ),
        crud.action(
            "update_token_name",
            Result(doc="The key.", type=API_KEY_JSON),
            _rename_key,
            title="Rename an API key",
            fields=(
                Field("token", Text(), "The API key, or its middle part.", required=True, example="abc"),
                Field(
                    "name",
                    Text(max_length=MAX_KEY_NAME),
                    "The new name.",
                    recorded=True,
                    required=True,
                    example="laptop",
                ),
            ),
            permission=Permission.USER,
        ),
        Endpoint(
            method="POST",
            op="change_password",
            permission=Permission.USER,
            title="Change your password",
            doc="Ends your other logins; other API keys stay valid.",
            fields=(
                Field(
                    "current_password",
                    Secret(max_length=MAX_PASSWORD),
                    "In the innkeeper command: current_password=- prompts.",
                    required=True,
                    example="quiet-lantern-78-fjord",
                ),
                Field(
                    "password",
                    Secret(max_length=MAX_PASSWORD),
                    "The new one, at least 12 characters. In the innkeeper command: password=- prompts.",
                    required=True,
                    example="vault-orbit-kettle-91",
                ),
            ),
            result=crud.NOTHING,
            success=204,
            run=_change_password,
        ),
        crud.list_of(
            API_KEY_JSON,
            _list_keys,
            op="list_authorisation_tokens",
            title="List API keys",
            doc="Without their secrets. last_used_at is exact to about a minute.",
            result="The keys.",
        ),
    ),
)
RESOURCES = (ACCOUNT,)
