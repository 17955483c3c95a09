"""Grants and quotas."""

from __future__ import annotations

from regiond.accounts.model import Grant
from regiond.api.declaration.serializer import INT, STR, TIMESTAMP, Serializer, key, nullable, serializer
from regiond.api.urls import uri
from regiond.quotas.model import Quota

GRANT_JSON: Serializer[Grant] = serializer(
    "Grant",
    key("user", STR, lambda grant: grant.username),
    key("pool", STR, lambda grant: grant.pool),
    key("pool_id", INT, lambda grant: grant.pool_id),
    key("role", STR, lambda grant: grant.role.value),
    key("granted_at", TIMESTAMP, lambda grant: grant.granted_at),
    key("granted_by", nullable(STR), lambda grant: grant.granted_by),
)
QUOTA_JSON: Serializer[Quota] = serializer(
    "Quota",
    key("id", INT, lambda quota: quota.id),
    key("user", nullable(STR), lambda quota: quota.username),
    key("pool", nullable(STR), lambda quota: quota.pool),
    key("machines", nullable(INT), lambda quota: quota.limits.machines),
    key("machines_used", INT, lambda quota: quota.used.machines),
    key("cores", nullable(INT), lambda quota: quota.limits.cores),
    key("cores_used", INT, lambda quota: quota.used.cores),
    key("memory", nullable(INT), lambda quota: quota.limits.memory_mib),
    key("memory_used", INT, lambda quota: quota.used.memory_mib),
    key("storage_bytes", nullable(INT), lambda quota: quota.limits.storage_bytes),
    key("storage_bytes_used", INT, lambda quota: quota.used.storage_bytes),
    key("resource_uri", STR, lambda quota: uri("quotas", quota.id)),
)
