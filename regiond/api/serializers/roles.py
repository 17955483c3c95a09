"""Grants and quotas."""

from __future__ import annotations

from regiond.accounts.model import Grant
from regiond.api.declaration.serializer import AS_TEXT, STR, Serializer, fields_of, key, serializer
from regiond.api.urls import uri
from regiond.quotas.model import Quota

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
    key("resource_uri", STR, lambda quota: uri("quotas", quota.id)),
)
