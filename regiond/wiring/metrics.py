"""Builds the metrics of a region."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from regiond.https.service import HttpsCertificate
from regiond.machines.arrivals.compose.model import ClaimOutcome
from regiond.metrics.service import RegionMetrics
from regiond.process.settings import RegionSettings
from regiond.reconciler.model import CheckOutcome
from regiond.wiring.attention import attention_limits
from regiond.wiring.components import Storage


def wire_metrics(settings: RegionSettings, storage: Storage, https: HttpsCertificate | None) -> RegionMetrics:
    """Returns the metrics; what the region knows only later is added by the caller."""

    def own_certificates() -> Mapping[str, datetime]:
        own = {"authority": storage.authority.expires_at}
        return own if https is None else {**own, "api": https.current.expires_at}

    return RegionMetrics(
        storage.database, limits=attention_limits(settings), own_certificates=own_certificates,
        claim_outcomes=ClaimOutcome, check_outcomes=CheckOutcome,
    )  # fmt: skip
