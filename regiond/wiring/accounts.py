"""Builds accounts, permissions, request limits, the audit trail and events."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from uuid import UUID

from regiond.accounts.logins import Logins
from regiond.accounts.passwords import Passwords
from regiond.accounts.service import Accounts
from regiond.accounts.sessions import SessionPeriods, Sessions
from regiond.accounts.users import Users
from regiond.api.pipeline.audit_record import recorded_by_action
from regiond.api.resources.registry import SERVED
from regiond.audit.export.model import parse_destination
from regiond.audit.export.senders import Secrets, make_sender
from regiond.audit.export.service import AuditExport
from regiond.audit.model import RecordedFields
from regiond.audit.service import Audit
from regiond.clients import rpc as client_rpc
from regiond.credentials.service import Credentials
from regiond.db.pool import Database
from regiond.events.service import Events
from regiond.events.streams import EventStreams
from regiond.events.tail import EventTail
from regiond.process.settings import RegionSettings
from regiond.quotas import service as quotas
from regiond.requests.request_limits import RequestLimits, RequestRates
from regiond.wiring.components import AccountLayer


def wire_accounts(settings: RegionSettings, database: Database, credentials: Credentials) -> AccountLayer:
    accounts = Accounts(database, record_event=Events.record, secrets=credentials.of_api_keys())
    passwords = Passwords(min_length=settings.password_min_length)
    exempt = settings.networks("rate_limit_exempt")
    logins = Logins(database, accounts, passwords, record_event=Events.record, exempt=exempt)
    periods = SessionPeriods(
        idle=timedelta(minutes=settings.session_idle_minutes), lifetime=timedelta(hours=settings.session_hours)
    )
    event_tail = EventTail(database)
    return AccountLayer(
        accounts=accounts,
        logins=logins,
        sessions=Sessions(database, logins, record_event=Events.record, periods=periods),
        users=Users(database, accounts, passwords, record_event=Events.record, within_quota=quotas.within),
        limits=RequestLimits(request_rates(settings), exempt=exempt),
        audit=Audit(
            database,
            retention=timedelta(days=settings.keep_audit_days),
            recorded=_recorded_by_action(),
        ),
        events=Events(database, retention=timedelta(days=settings.keep_events_days)),
        event_tail=event_tail,
        event_streams=EventStreams(database, event_tail, still=accounts.still),
    )


@cache
def _recorded_by_action() -> Mapping[str, RecordedFields]:
    """The regions of one process share it."""
    return {**recorded_by_action(SERVED), **client_rpc.recorded_by_action()}


def request_rates(settings: RegionSettings) -> RequestRates:
    return RequestRates(
        requests_per_s=settings.requests_per_s,
        expensive_requests_per_s=settings.expensive_requests_per_s,
        anonymous_requests_per_s=settings.anonymous_requests_per_s,
    )


def wire_audit_export(
    settings: RegionSettings, database: Database, accounts: AccountLayer, region_id: UUID
) -> AuditExport | None:
    """Returns what sends the audit trail; None without the setting. Raises BadSettings."""
    if settings.audit_export is None:
        return None
    destination = parse_destination(settings.audit_export)
    sender = make_sender(destination, Secrets(ca=settings.audit_export_ca, header=settings.audit_export_header))
    export = AuditExport(database, destination, sender, region_id=region_id)
    accounts.audit.on_appended(export.wake)
    return export
