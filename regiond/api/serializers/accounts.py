"""Users, their API keys and SSH keys."""

from __future__ import annotations

from regiond.accounts.model import ApiKey, ApiKeyView, SessionView, SignatureMethod, SshKey, User
from regiond.api.declaration.serializer import (
    BOOL,
    INT,
    STR,
    TIMESTAMP,
    Serializer,
    constant,
    enum,
    key,
    nullable,
    serializer,
)
from regiond.api.urls import uri

USER_JSON: Serializer[User] = serializer(
    "User",
    key("username", STR, lambda user: user.username),
    key("email", STR, lambda user: user.email),
    key("is_superuser", BOOL, lambda user: user.is_admin),
    constant("is_local", BOOL, value=True),
    key("is_active", BOOL, lambda user: user.is_active),
    key("has_password", BOOL, lambda user: user.has_password),
    key("created_at", TIMESTAMP, lambda user: user.created_at),
    key("resource_uri", STR, lambda user: uri("users", user.username)),
)
API_KEY_JSON: Serializer[ApiKeyView] = serializer(
    "ApiKey",
    key("name", STR, lambda view: view.name),
    key("consumer_key", STR, lambda view: view.consumer_key),
    key("token_key", STR, lambda view: view.token_key),
    key("created_at", TIMESTAMP, lambda view: view.created_at),
    key("expires_at", nullable(TIMESTAMP), lambda view: view.expires_at),
    key("last_used_at", nullable(TIMESTAMP), lambda view: view.last_used_at),
    key("by_login", BOOL, lambda view: view.by_login),
    key("signature_method", enum(SignatureMethod), lambda view: view.signature_method),
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
SSH_KEY_JSON: Serializer[SshKey] = serializer(
    "SshKey",
    key("id", INT, lambda one: one.id),
    key("key", STR, lambda one: one.key),
    constant("keysource", nullable(STR), value=None),
    key("fingerprint", STR, lambda one: one.fingerprint),
    key("created_at", TIMESTAMP, lambda one: one.created_at),
    key("resource_uri", STR, lambda one: uri("account", "prefs", "sshkeys", str(one.id))),
)
