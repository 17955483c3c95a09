"""What connects by TLS is kept for some time: one for each host and its authorities, of which there is a bound."""

from __future__ import annotations

from common.process.https_policy import KEPT, KEPT_FOR_S, HttpsPolicy
from common.trust.server_trust import ServerTrust
from tests.support.certificate_pairs import make_pair


def creator(host: str, authority_pem: str, *, at_s: float = 0.0) -> object:
    policy = HttpsPolicy(ServerTrust(authority_pem=authority_pem), clock=lambda: at_s)
    return policy.creatorForNetloc(host.encode(), 443)


def test_a_host_with_the_same_authorities_is_prepared_once() -> None:
    one, other = (make_pair().certificate_pem.decode() for _ in range(2))
    first = creator("a.example", one)
    assert creator("a.example", one) is first
    assert creator("b.example", one) is not first
    assert creator("a.example", other) is not first


def test_the_authorities_are_read_again_after_some_time() -> None:
    authority = make_pair().certificate_pem.decode()
    first = creator("a.example", authority)
    assert creator("a.example", authority, at_s=KEPT_FOR_S - 1) is first
    assert creator("a.example", authority, at_s=KEPT_FOR_S) is not first


def test_the_hosts_that_are_kept_are_bounded() -> None:
    authority = make_pair().certificate_pem.decode()
    first = creator("a.example", authority)
    for number in range(KEPT):
        creator(f"h{number}.example", authority)
    assert creator("a.example", authority) is not first
