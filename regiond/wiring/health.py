"""The probes of a region's health."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from common.errors import InnkeeperError
from regiond.db.errors import NO_PRIMARY, READ_ONLY
from regiond.db.pool import Database
from regiond.process.health import HealthCheck, Probe
from regiond.wiring.components import Components

RACKS_WITHIN_S = 20.0  # racks learn of a new region within 5 s, and connect at once


def wire_health(components: Components, *, is_stopping: Callable[[], bool]) -> HealthCheck:
    """Returns the check. Its texts name no address, user or number: anybody can read them."""
    heartbeat, audit, export = components.heartbeat, components.services.audit, components.audit_export
    https, engine = components.https, components.engine

    async def writable() -> str | None:
        await components.database.check_writable()
        return None

    others: dict[str, Probe] = {
        "notifications": _said(
            lambda: not components.notifications.connected, "Changes made by other regions arrive late."
        ),
        "operations": _said(lambda: engine.problem is not None, "Operations are not begun: see the log."),
        "racks": _said(lambda: not heartbeat.linked_racks, "No rack is linked to this region."),
        "audit": _said(lambda: audit.unwritten > 0, "Answers wait to be written to the audit trail."),
    }
    if https is not None:
        others["certificate"] = _said(
            lambda: https.problem is not None, "The certificate of the API has a problem: see the log."
        )
    if export is not None:
        others["audit_export"] = _said(
            lambda: export.state.reason is not None, "The audit trail cannot be sent: see the log."
        )
    required: dict[str, Probe] = {
        "process": _said(is_stopping, "The region is stopping."),
        "database": _of(components.database, writable),
        "schema": _of(components.database, components.schema_version.problem),
        "heartbeat": _said(
            lambda: heartbeat.problem is not None, "The region cannot announce itself to the others: see the log."
        ),
        "start": _of(components.database, awaited_racks(heartbeat.awaits_racks)),
    }
    return HealthCheck(required, others)


def awaited_racks(awaits: Callable[[], Awaitable[bool]], clock: Callable[[], float] = time.monotonic) -> Probe:
    """Fails until the first rack has connected, if racks are connected to other regions, for 20 s at most.

    A load balancer that sent requests earlier would get 503 for those that need a host.
    """
    ends_at = clock() + RACKS_WITHIN_S
    has_started = False

    async def probe() -> str | None:
        nonlocal has_started
        has_started = has_started or clock() > ends_at or not await awaits()
        return None if has_started else "The racks of the other regions have not connected to this one yet."

    return probe


def _of(database: Database, probe: Probe) -> Probe:
    """Replaces the errors of connections: they name the database, its host and its user."""

    async def replaced() -> str | None:
        try:
            return await probe()
        except InnkeeperError as error:
            if error.details.get("reason") == READ_ONLY:
                return error.message
            if error.details.get("reason") == NO_PRIMARY:
                return str(error.details["problem"])
            return database.rejection or "The database cannot be used: see the log."

    return replaced


def _said(is_wrong: Callable[[], bool], text: str) -> Probe:
    return _found(lambda: text if is_wrong() else None)


def _found(problem: Callable[[], str | None]) -> Probe:
    async def probe() -> str | None:
        return problem()

    return probe
