"""The discrepancies of machines that are registered in MAAS servers, as the reconciler takes them in."""

from __future__ import annotations

from regiond.db.pool import Db
from regiond.maas.reconciliation import detection, repair, store
from regiond.reconciler.extension import ReconcilerExtension
from regiond.reconciler.model import Discrepancy, DiscrepancyKind


async def _detect(db: Db) -> list[Discrepancy | None]:
    return [detection.detect(registration) for registration in await store.suspects(db)]


EXTENSION = ReconcilerExtension(
    detect=_detect,
    repairs={
        DiscrepancyKind.MAAS_RECORD_MISSING: repair.forget_record,
        DiscrepancyKind.MAAS_RECORD_LEFT: repair.delete_record,
    },
)
