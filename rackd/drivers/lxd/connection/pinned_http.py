"""An HTTP session that sends requests to one server, whose certificate is pinned, and nowhere else."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from common.addresses.lxd import LxdAddress
from common.errors import HostUnreachable, InnkeeperError
from rackd.drivers.lxd.connection.response_body import json_of, read_beginning, read_body


class PinnedAdapter(HTTPAdapter):
    """Uses one TLS context for all requests and translates the errors of requests."""

    def __init__(
        self,
        address: LxdAddress,
        context: ssl.SSLContext,
        explain: Callable[[Exception], InnkeeperError],
        large_body: threading.Lock,
    ) -> None:
        self._address = address
        self._context = context
        self._explain = explain
        self._large_body = large_body
        self.calls = 0
        self.date: tuple[str | None, datetime] | None = None
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        # Otherwise urllib3 compares the address with the certificate's names, despite the context. The pinned
        # certificate is right at any address: a cluster's certificate names none of its members.
        super().init_poolmanager(*args, ssl_context=self._context, assert_hostname=False, **options)

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        conn.cert_reqs = "CERT_REQUIRED"  # otherwise requests loads its own CA bundle, or one from the environment

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        """Follows no redirect: the request, with a token or password in it, is for the pinned server only."""
        self.calls += 1
        try:
            response = super().send(request, *args, **options)
            self.date = response.headers.get("Date"), datetime.now(UTC)
            if response.is_redirect:
                response.close()
                raise HostUnreachable(
                    f"The server at {self._address.normalised} redirects to {response.headers['Location'][:200]}, "
                    "which Innkeeper does not follow. Add the host with the address of the server itself."
                )
            # What requests itself sets when it has read a body.
            response._content = (  # noqa: SLF001  # there is no public setter
                read_beginning(response, server=self._address.normalised)
                if options.get("stream")
                else read_body(response, server=self._address.normalised, large=self._large_body)
            )
            response.json = partial(json_of, response)  # type: ignore[method-assign]  # there is no other place
        except requests.exceptions.RequestException as error:
            raise self._explain(error) from error
        return response


def open_session(adapter: PinnedAdapter) -> requests.Session:
    """Returns a session whose requests all go through `adapter`, whatever the environment says of proxies, CA bundles
    and .netrc; plain HTTP is an error.
    """
    session = requests.Session()
    session.trust_env = False
    session.adapters.clear()
    session.mount("https://", adapter)
    return session
