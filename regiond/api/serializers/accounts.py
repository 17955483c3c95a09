"""Users, their API keys and SSH keys, grants and quotas."""

from __future__ import annotations

from regiond.accounts.model import ApiKey, ApiKeyView, Grant, ListColumns, SavedFilter, SessionView, SshKey, User
from regiond.api.declaration.serializer import (
    AS_TEXT,
    BOOL,
    STR,
    Serializer,
    constant,
    fields_of,
    key,
    nullable,
    serializer,
    uri_by_id,
)
from regiond.api.urls import uri
from regiond.quotas.model import Quota

USER_JSON: Serializer[User] = serializer(
    "User",
    *fields_of(User, "username email is_superuser=is_admin"),
    constant("is_local", BOOL, value=True),
    *fields_of(User, "is_active has_password created_at"),
    key("resource_uri", STR, lambda user: uri("users", user.username)),
)
API_KEY_JSON: Serializer[ApiKeyView] = serializer(
    "ApiKey",
    *fields_of(ApiKeyView, "name consumer_key token_key created_at expires_at last_used_at by_login signature_method"),
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
    *fields_of(SessionView, "id username created=created_at last_seen=last_seen_at ends=ends_at address user_agent"),
    key("resource_uri", STR, lambda view: uri("account", "sessions", view.id)),
)
SSH_KEY_JSON: Serializer[SshKey] = serializer(
    "SshKey",
    *fields_of(SshKey, "id key"),
    constant("keysource", nullable(STR), value=None),
    *fields_of(SshKey, "fingerprint created_at"),
    key("resource_uri", STR, lambda one: uri("account", "prefs", "sshkeys", str(one.id))),
)
SAVED_FILTER_JSON: Serializer[SavedFilter] = serializer(
    "SavedFilter",
    *fields_of(SavedFilter, "id list name query created_at"),
    key("resource_uri", STR, lambda one: uri("account", "filters", str(one.id))),
)
LIST_COLUMNS_JSON: Serializer[ListColumns] = serializer(
    "ListColumns",
    *fields_of(ListColumns, "list columns"),
    key("resource_uri", STR, lambda one: uri("account", "columns", one.list)),
)
GRANT_JSON: Serializer[Grant] = serializer(
    "Grant", *fields_of(Grant, "user=username pool pool_id role granted_at granted_by", role=AS_TEXT)
)
QUOTA_JSON: Serializer[Quota] = serializer(
    "Quota",
    *fields_of(
        Quota,
        "id user=username pool limits.machines machines_used=used.machines limits.cores cores_used=used.cores",
        "memory=limits.memory_mib memory_used=used.memory_mib limits.storage_bytes",
        "storage_bytes_used=used.storage_bytes",
    ),
    uri_by_id("quotas"),
)
