"""Builds the list of what needs attention."""

from __future__ import annotations

from regiond.attention.model import AttentionLimits
from regiond.attention.service import Attention
from regiond.db.pool import Database
from regiond.hosts.views.host_condition import stale_after
from regiond.https.service import HttpsCertificate
from regiond.process.settings import RegionSettings
from regiond.quotas.service import Quotas


def attention_limits(settings: RegionSettings) -> AttentionLimits:
    """Returns the limits of pages and metrics alike."""
    return AttentionLimits(
        nearly_full_percent=settings.nearly_full_percent,
        backup_within_hours=settings.backup_within_hours,
        stale_after_s=stale_after(settings.refresh_every_s).total_seconds(),
    )


def wire_attention(
    settings: RegionSettings, database: Database, quotas: Quotas, https: HttpsCertificate | None
) -> Attention:
    """Returns the list; of plain HTTP there is no certificate."""
    return Attention(
        database, attention_limits(settings), quotas=quotas.list,
        certificate_expires_at=lambda: None if https is None else https.current.expires_at,
    )  # fmt: skip
