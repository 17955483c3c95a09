"""Guests that send forms to the report port of the rack, without knowing any address of a report."""

from __future__ import annotations

import secrets

from attrs import frozen

from tests.abuse.attack import Attack, Tally, Target
from tests.abuse.callers import repeat
from tests.abuse.http_wire import exchange, request, stranger

MULTIPART, FORM = "multipart/form-data; boundary=b", "application/x-www-form-urlencoded"
_LONG = 64 * 1024 - 1024
# A value that is not closed: Python's parser of such headers counts the quotes before each semicolon.
_SLOW = b'--b\r\nContent-Disposition: form-data; name="a' + b";" * _LONG + b"\r\n\r\nx\r\n--b--\r\n"
_FIELDS = b"address=10.0.0.5&fingerprint=" + b"%41" * 2600


@frozen(kw_only=True)
class ReportForms:
    """Half of the requests are for any path, the others for reports whose secret is guessed."""

    name: str = "report-forms"
    what: str = "forms of 64 KiB to the rack's report port, and reports with guessed secrets, from 4 addresses"
    callers: int = 20
    addresses: int = 4

    async def run(self, target: Target, tally: Tally) -> None:
        async def send(number: int) -> None:
            path = f"/MAAS/report/{1 + number % 9}/{secrets.token_urlsafe(32)}"
            data = (
                request("POST", "/", body=_SLOW, content_type=MULTIPART),
                request("POST", path, body=_SLOW, content_type=MULTIPART),
                request("POST", path, body=b"hostname=vm", content_type=FORM),
                request("POST", f"{path}/vm-host", body=_FIELDS, content_type=FORM),
                request("POST", "/", body=_FIELDS, content_type=FORM),
                request("GET", f"{path}/user-data"),
            )[number % 6]
            tally.count((await exchange(target.report_port, data, address=stranger(number, self.addresses))).status)

        await repeat(self.callers, send, tally)


ATTACKS: tuple[Attack, ...] = (ReportForms(),)
