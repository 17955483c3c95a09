"""JSON of the audit trail."""

from __future__ import annotations

from regiond.api.declaration.serializer import (
    BOOL,
    INT,
    STR,
    TIMESTAMP,
    Serializer,
    array,
    enum,
    key,
    mapping,
    nullable,
    serializer,
)
from regiond.audit.model import AuditEntry, AuditResult, ChainReport, RawEntry, RedactionReport

AUDIT_ENTRY_JSON: Serializer[AuditEntry] = serializer(
    "AuditEntry",
    key("id", INT, lambda one: one.id),
    key("at", TIMESTAMP, lambda one: one.at),
    key("username", nullable(STR), lambda one: one.request.username),
    key("credential", STR, lambda one: one.request.credential),
    key("address", STR, lambda one: one.request.address),
    key("action", STR, lambda one: one.request.action),
    key("object", STR, lambda one: one.request.object),
    key("object_name", STR, lambda one: one.request.object_name),
    key("fields", mapping(STR), lambda one: one.request.fields),
    key("result", enum(AuditResult), lambda one: one.answer.result),
    key("status", nullable(INT), lambda one: one.answer.status),
    key("error", nullable(STR), lambda one: one.answer.error),
    key("operation", nullable(INT), lambda one: one.answer.operation_id),
    key("answered_at", nullable(TIMESTAMP), lambda one: one.answered_at),
    key("request_id", STR, lambda one: one.request.request_id),
    key("not_recorded", INT, lambda one: one.request.not_recorded),
    key("redacted_by", nullable(INT), lambda one: one.redacted_by),
)
RAW_ENTRY_JSON: Serializer[RawEntry] = serializer(
    "RawAuditEntry",
    key("id", INT, lambda one: one.id),
    key("at", TIMESTAMP, lambda one: one.at),
    key("content", STR, lambda one: one.content),
    key("previous_hash", STR, lambda one: one.previous_hash.hex()),
    key("hash", STR, lambda one: one.hash.hex()),
    key("redacted_by", nullable(INT), lambda one: one.redacted_by),
)
CHAIN_REPORT_JSON: Serializer[ChainReport] = serializer(
    "AuditReport",
    key("first_id", INT, lambda one: one.first_id),
    key("last_id", INT, lambda one: one.head_id),
    key("last_hash", STR, lambda one: one.head_hash.hex()),
    key("problems", array(STR), lambda one: one.problems),
    key("redacted", INT, lambda one: one.redacted),
)
REDACTION_REPORT_JSON: Serializer[RedactionReport] = serializer(
    "AuditRedaction",
    key("requests", INT, lambda one: one.requests),
    key("is_complete", BOOL, lambda one: one.is_complete),
    key("after", nullable(INT), lambda one: one.after_id),
)
