"""Applies settings that were changed while the region runs."""

from __future__ import annotations

from datetime import timedelta

from common.process.logging import configure_logging
from regiond.process.settings import LOGGED_AS, RegionSettings
from regiond.wiring.accounts import request_rates
from regiond.wiring.components import Components
from regiond.wiring.region import retention_periods


def apply_settings(components: Components, settings: RegionSettings, changed: frozenset[str]) -> None:
    """Applies every setting that is declared with `reload`. The certificate's files are read again in any case."""
    if "log_level" in changed:
        configure_logging(level=settings.log_level, process=LOGGED_AS)
    exempt, services = settings.networks("rate_limit_exempt"), components.services
    components.limits.change(request_rates(settings), exempt=exempt)
    services.logins.change(exempt=exempt, password_min_length=settings.password_min_length)
    services.audit.retention = timedelta(days=settings.keep_audit_days)
    services.events.retention = timedelta(days=settings.keep_events_days)
    components.housekeeping.retention.periods = retention_periods(settings)
    if components.https is not None:
        components.https.reload()
