"""Users and their API keys."""

from __future__ import annotations

from regiond.accounts.model import ApiKey, ApiKeyView, SessionView
from regiond.api.serializer import BOOL, INT, STR, TIMESTAMP, Serializer, constant, key, serializer
from regiond.api.urls import uri
from regiond.caller import Caller

USER_JSON: Serializer[Caller] = serializer(
    "User",
    key("username", STR, lambda user: user.username),
    key("email", STR, lambda user: user.email),
    key("is_superuser", BOOL, lambda user: user.is_admin),
    constant("is_local", BOOL, value=True),
    key("resource_uri", STR, lambda user: uri("users", user.username)),
)
API_KEY_JSON: Serializer[ApiKeyView] = serializer(
    "ApiKey",
    key("name", STR, lambda view: view.name),
    key("consumer_key", STR, lambda view: view.consumer_key),
    key("token_key", STR, lambda view: view.token_key),
)
# The only response that contains the secret. The source is the key's name and the key.
NEW_API_KEY_JSON: Serializer[tuple[str, ApiKey]] = serializer(
    "NewApiKey",
    key("name", STR, lambda named: named[0]),
    key("consumer_key", STR, lambda named: named[1].consumer_key),
    key("token_key", STR, lambda named: named[1].token_key),
    key("token_secret", STR, lambda named: named[1].token_secret),
)
SESSION_JSON: Serializer[SessionView] = serializer(
    "Session",
    key("id", INT, lambda view: view.id),
    key("username", STR, lambda view: view.username),
    key("created", TIMESTAMP, lambda view: view.created_at),
    key("last_seen", TIMESTAMP, lambda view: view.last_seen_at),
    key("ends", TIMESTAMP, lambda view: view.ends_at),
    key("address", STR, lambda view: view.address),
    key("user_agent", STR, lambda view: view.user_agent),
    key("resource_uri", STR, lambda view: uri("account", "sessions", view.id)),
)
