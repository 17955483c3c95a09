"""Each form of token goes to the address of the server's API that takes it."""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from common.addresses.lxd import parse
from common.trust.certificates import fingerprint, load_certificate
from rackd.drivers.lxd.connection import trust
from rackd.drivers.lxd.connection.client import Client
from rackd.drivers.lxd.connection.dialect import LXD
from tests.unit.regiond.credentials.test_key_pairs import small_pair

SERVER = small_pair()


def token(**fields: str) -> str:
    whole = {"client_name": "innkeeper", "fingerprint": fingerprint(load_certificate(SERVER.certificate_pem)),
             "secret": "s", "addresses": [], "expires_at": "0001-01-01T00:00:00Z", **fields}  # fmt: skip
    return base64.b64encode(json.dumps(whole).encode()).decode()


class Server:
    """Trusts whoever posts something; `posted` has where, and what."""

    def __init__(self, *extensions: str) -> None:
        self.posted: list[tuple[str, dict[str, Any]]] = []
        self._extensions = extensions

    def client(self) -> Client:
        def server() -> dict[str, Any]:
            trusted = "trusted" if self.posted else "untrusted"
            return {"auth": trusted, "api_extensions": list(self._extensions), "environment": {"server": "lxd"}}

        found = SimpleNamespace(
            server=server, get=lambda _where: server(), dialect=LXD, address=parse("https://h:8443"),
            post=lambda where, body: self.posted.append((where, body)), place="LXD at https://h:8443",
        )  # fmt: skip
        return cast("Client", found)


@pytest.mark.parametrize(
    ("extensions", "fields", "where", "key"),
    [
        ((), {}, "certificates", "password"),
        (("explicit_trust_token",), {}, "certificates", "trust_token"),
        (("explicit_trust_token", "access_management_tls"), {"type": "Client certificate (pending)"},
         "auth/identities/tls", "trust_token"),
    ],
)  # fmt: skip
def test_a_token_is_sent_to_where_it_was_issued(
    extensions: tuple[str, ...], fields: dict[str, str], where: str, key: str
) -> None:
    server, own, text = Server(*extensions), small_pair().certificate_pem, token(**fields)
    trust.trust(
        server.client(), own_pem=own, pinned_pem=SERVER.certificate_pem, certificate_pem=own, name="x", secret=text
    )
    ((used, body),) = server.posted
    assert (used, body[key]) == (where, text)
