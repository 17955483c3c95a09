"""The days and the text of notices that a certificate expires."""

from __future__ import annotations

from datetime import datetime

NOTICE_DAYS = (30, 7, 1, 0)  # before the expiry
SOON_DAYS = NOTICE_DAYS[0]  # a certificate with less needs attention


def expiry_text(days: int, expires_at: datetime) -> str:
    """Returns the notice for one of NOTICE_DAYS, such as `expires within 7 days (2026-12-01 10:00 UTC)`."""
    state = "has expired" if days == 0 else f"expires within {'a day' if days == 1 else f'{days} days'}"
    return f"{state} ({expires_at:%Y-%m-%d %H:%M} UTC)"
