"""Discrepancies within the ledger, and between it and the hosts."""

from __future__ import annotations

from regiond.api.declaration.serializer import Serializer, fields_of, serializer
from regiond.reconciler.model import OpenDiscrepancy

DISCREPANCY_JSON: Serializer[OpenDiscrepancy] = serializer(
    "Discrepancy",
    *fields_of(
        OpenDiscrepancy,
        "id discrepancy.kind discrepancy.name discrepancy.host_id discrepancy.host_name discrepancy.system_id",
        "discrepancy.found discrepancy.expected discrepancy.remedy discrepancy.repair_policy discrepancy.etag",
        "discrepancy.ours discrepancy.data_at_risk discrepancy.since first_seen_at last_seen_at sweeps repaired_at",
        "repaired",
    ),
)
