"""Differences between ledger and hosts."""

from __future__ import annotations

from typing import Any

from regiond.api.encoding.operations import moment
from regiond.reconciler.model import Standing


def encode_difference(standing: Standing) -> dict[str, Any]:
    told = standing.difference
    return {
        "id": standing.id,
        "kind": told.kind.value,
        "name": told.name,
        "host_id": told.host_id,
        "host_name": told.host_name,
        "system_id": told.system_id,
        "found": told.found,
        "expected": told.expected,
        "remedy": told.remedy,
        "mended_by": told.mended_by.value,
        "etag": told.etag,
        "ours": told.ours,
        "data_at_risk": told.data_at_risk,
        "since": moment(told.since),
        "first_seen_at": moment(standing.first_seen_at),
        "last_seen_at": moment(standing.last_seen_at),
        "sweeps": standing.sweeps,
        "mended_at": moment(standing.mended_at),
        "mended": standing.mended,
    }
