"""Serves the API's certificate: the newest good one for new connections, and notices before it expires."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import structlog
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from common.errors import BadSettings
from common.process.periodic import PeriodicTask
from common.trust.certificates import utc_now
from common.trust.expiry import expiry_text
from regiond.db.pool import Database, Db
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.https.certificate_files import CertificateFiles
from regiond.https.model import ServerCertificate

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

CHECK_EVERY_S = 10.0
ROUNDS_BEFORE_EVENT = 2  # the two files of a renewal are not replaced at the same moment
FORGET_AFTER = timedelta(days=90)

OnChange = Callable[[], Awaitable[None]]

# Regions that share a certificate give each notice once.
_CLAIM = """
    insert into tls_certificate_notice as notice (fingerprint, notified_days, expires_at) values ($1, $2, $3)
    on conflict (fingerprint) do update set notified_days = excluded.notified_days
     where notice.notified_days > excluded.notified_days
    returning fingerprint
"""
_FORGET = "delete from tls_certificate_notice where expires_at < now() - $1::interval"


@implementer(IOpenSSLServerConnectionCreator)
class HttpsCertificate:
    """Open connections keep the certificate with which they began.

    A bad new pair leaves the one in use: it is logged at once, and recorded as an event if the next check finds it too.
    """

    def __init__(self, files: CertificateFiles, database: Database, *, clock: Callable[[], datetime] = utc_now) -> None:
        """Raises BadSettings if there is no usable pair. One that has expired is served, and reported."""
        self._files = files
        self._database = database
        self._clock = clock
        self._version = files.version()
        self._loaded = files.load()
        files.warn_of_readers()
        self._problem = self._date_problem()
        self._rounds = 0
        self._recorded: str | None = None
        self._on_change: OnChange | None = None
        self._task = PeriodicTask("tls_certificate", self.check, every_s=CHECK_EVERY_S)

    @property
    def current(self) -> ServerCertificate:
        return self._loaded.pair

    @property
    def problem(self) -> str | None:
        """Why the files, or the certificate that is served, should not be used; None if all is well."""
        return self._problem or self._date_problem()

    def serverConnectionForTLS(self, tls_protocol: TLSMemoryBIOProtocol) -> SSL.Connection:  # noqa: N802  # Twisted's
        return SSL.Connection(self._loaded.context, None)

    def on_change(self, call: OnChange) -> None:
        """`call` is awaited after each new certificate."""
        self._on_change = call

    def start(self) -> None:
        self._task.start()

    async def stop(self) -> None:
        await self._task.stop()

    def reload(self) -> None:
        """Checks the files now, as SIGHUP asks for."""
        self._task.wake()

    async def check(self) -> None:
        """Loads the files if they have changed, or if they were bad at the last check. Idempotent."""
        version = self._files.version()
        if version == self._version and self._problem is None:
            return
        try:
            found = self._files.load_valid(self._clock())
        except BadSettings as error:
            await self._report(error.message)
            return
        changed = found.pair != self.current
        self._version, self._loaded, self._problem, self._recorded = version, found, None, None
        if not changed:
            return
        self._files.warn_of_readers()
        new = self.current
        log.info("tls_certificate_loaded", fingerprint=new.fingerprint, expires_at=str(new.expires_at))
        if self._on_change is not None:
            await self._on_change()

    async def report_expiry(self) -> None:
        """Records events 30, 7 and 1 days before the expiry and at it, once for all regions."""
        days = self.current.days_to_notify(self._clock())
        async with self._database.transaction() as db:
            await _forget_notices(db, FORGET_AFTER)
            if days is None or not await _claim_notice(db, self.current.fingerprint, days, self.current.expires_at):
                return
            state = expiry_text(days, self.current.expires_at)
            text = f"The certificate of the API {self.current.fingerprint} {state}: renew tls_certificate."
            details = {"fingerprint": self.current.fingerprint, "expires_at": self.current.expires_at.isoformat()}
            level = Level.WARNING if days > 1 else Level.ERROR
            await Events.record(db, "certificate_expiring", text, level=level, details=details)

    async def _report(self, problem: str) -> None:
        self._rounds = self._rounds + 1 if problem == self._problem else 1
        if self._rounds == 1:
            log.warning("tls_certificate_rejected", reason=problem, serving=self.current.fingerprint)
        self._problem = problem
        if self._rounds < ROUNDS_BEFORE_EVENT or self._recorded == problem:
            return
        text = f"{problem} The API keeps the certificate {self.current.fingerprint}."
        async with self._database.transaction() as db:
            await Events.record(db, "tls_certificate_rejected", text, level=Level.ERROR)
        self._recorded = problem

    def _date_problem(self) -> str | None:
        problem = self.current.date_problem(self._clock())
        return None if problem is None else self._files.described(problem)


async def _claim_notice(db: Db, fingerprint: str, days: int, expires_at: datetime) -> bool:
    """Whether the notice of `days` before the expiry has not been given yet; from now on it has."""
    return await db.fetchval(_CLAIM, fingerprint, days, expires_at) is not None


async def _forget_notices(db: Db, expired_for: timedelta) -> None:
    await db.execute(_FORGET, expired_for)
