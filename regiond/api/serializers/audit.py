"""JSON of the audit trail."""

from __future__ import annotations

from regiond.api.declaration.serializer import INT, STR, Serializer, fields_of, key, nullable, serializer
from regiond.audit.model import AuditEntry, ChainReport, RawEntry, RedactionReport

AUDIT_ENTRY_JSON: Serializer[AuditEntry] = serializer(
    "AuditEntry",
    *fields_of(
        AuditEntry,
        "id at request.username request.credential request.address request.action request.object request.object_name",
        "request.fields answer.result answer.status answer.error operation=answer.operation_id answered_at",
        "request.request_id request.not_recorded redacted_by",
    ),
)
RAW_ENTRY_JSON: Serializer[RawEntry] = serializer(
    "RawAuditEntry",
    *fields_of(RawEntry, "id at content"),
    key("previous_hash", STR, lambda one: one.previous_hash.hex()),
    key("hash", STR, lambda one: one.hash.hex()),
    key("redacted_by", nullable(INT), lambda one: one.redacted_by),
)
CHAIN_REPORT_JSON: Serializer[ChainReport] = serializer(
    "AuditReport",
    *fields_of(ChainReport, "first_id last_id=head_id"),
    key("last_hash", STR, lambda one: one.head_hash.hex()),
    *fields_of(ChainReport, "problems redacted"),
)
REDACTION_REPORT_JSON: Serializer[RedactionReport] = serializer(
    "AuditRedaction", *fields_of(RedactionReport, "requests is_complete after=after_id")
)
