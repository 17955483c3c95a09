"""Discrepancies within the ledger, and between it and the hosts."""

from __future__ import annotations

from regiond.api.declaration.serializer import BOOL, INT, STR, TIMESTAMP, Serializer, enum, key, nullable, serializer
from regiond.reconciler.model import DiscrepancyKind, OpenDiscrepancy, RepairPolicy

DISCREPANCY_JSON: Serializer[OpenDiscrepancy] = serializer(
    "Discrepancy",
    key("id", INT, lambda one: one.id),
    key("kind", enum(DiscrepancyKind), lambda one: one.discrepancy.kind),
    key("name", STR, lambda one: one.discrepancy.name),
    key("host_id", nullable(INT), lambda one: one.discrepancy.host_id),
    key("host_name", nullable(STR), lambda one: one.discrepancy.host_name),
    key("system_id", nullable(STR), lambda one: one.discrepancy.system_id),
    key("found", STR, lambda one: one.discrepancy.found),
    key("expected", STR, lambda one: one.discrepancy.expected),
    key("remedy", STR, lambda one: one.discrepancy.remedy),
    key("repair_policy", enum(RepairPolicy), lambda one: one.discrepancy.repair_policy),
    key("etag", STR, lambda one: one.discrepancy.etag),
    key("ours", BOOL, lambda one: one.discrepancy.ours),
    key("data_at_risk", BOOL, lambda one: one.discrepancy.data_at_risk),
    key("since", nullable(TIMESTAMP), lambda one: one.discrepancy.since),
    key("first_seen_at", TIMESTAMP, lambda one: one.first_seen_at),
    key("last_seen_at", TIMESTAMP, lambda one: one.last_seen_at),
    key("sweeps", INT, lambda one: one.sweeps),
    key("repaired_at", nullable(TIMESTAMP), lambda one: one.repaired_at),
    key("repaired", nullable(STR), lambda one: one.repaired),
)
