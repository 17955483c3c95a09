"""The facts of a host's error, stored with the host: what a person has to do, and what can be confirmed."""

from __future__ import annotations

from typing import Any

import pytest

from common.errors import InnkeeperError, NotTrusted, PeerChanged
from common.rpc.commands.host_commands import HOST_DISCOVER, HostCall
from common.rpc.link import Link
from tests.deployment.deployment import Deployment
from tests.doubles.lxd_double import FakeLxd, FakeLxds
from tests.integration.support.rigs.byzantine_rack import byzantine_rack
from tests.integration.support.rigs.lxd_hosts import add, is_ready, parameters
from tests.integration.support.tables import rows, sql
from tests.integration.support.users import as_user

PHRASE = "old-style password"


async def details(innkeeper: Deployment, host: Any) -> dict[str, Any]:
    """Returns the facts that are known, as the API shows them."""
    shown = await innkeeper.get(f"vm-hosts/{host['id']}/")
    return {name: value for name, value in shown["error"]["details"].items() if value is not None}


async def refused(innkeeper: Deployment, host: Any) -> None:
    with pytest.raises(InnkeeperError):
        await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")


async def test_a_server_that_does_not_trust_us_yet_is_waited_for(innkeeper: Deployment, server: FakeLxd) -> None:
    host = await add(innkeeper)
    found = await details(innkeeper, host)
    assert found.keys() == {"kind", "reason"}
    assert found["kind"] == "not_trusted"
    await innkeeper.refresh_due()  # the one that follows each addition of a host
    server.trust((await parameters(innkeeper, host))["certificate"])
    await innkeeper.after_refreshes(lambda: is_ready(innkeeper, host))
    assert (await innkeeper.get(f"vm-hosts/{host['id']}/"))["error"] is None
    assert await rows(innkeeper, "select error_details, trust_error, rejected_secret from vm_host") == [(None,) * 3]


async def test_a_refused_token_and_a_refused_password_are_told_apart(innkeeper: Deployment, server: FakeLxd) -> None:
    token = server.token()
    server.secrets.clear()
    host = await add(innkeeper, password=token)
    found = await details(innkeeper, host)
    assert (found["kind"], found["secret"]) == ("secret_rejected", "token")
    assert found["reason"].startswith("LXD rejected the token")
    await innkeeper.put(f"vm-hosts/{host['id']}/", password=PHRASE, trust_on_first_use="true")
    found = await details(innkeeper, host)
    assert (found["kind"], found["secret"]) == ("secret_rejected", "password")


@pytest.mark.slow
async def test_an_unconfirmed_server_has_what_is_to_be_confirmed(innkeeper: Deployment, server: FakeLxd) -> None:
    host = await add(innkeeper, password=PHRASE)
    found = await details(innkeeper, host)
    assert (found["kind"], found["offered"], found["secret"]) == ("password_not_sent", server.fingerprint, "password")
    assert found["confirm"] == {"op": "trust", "field": "fingerprint", "value": server.fingerprint}


@pytest.mark.slow
async def test_a_token_of_another_server_has_both_fingerprints(
    innkeeper: Deployment, lxds: FakeLxds, server: FakeLxd
) -> None:
    host = await add(innkeeper, password=server.token(fingerprint="ab" * 32))
    assert await details(innkeeper, host) == {
        "kind": "token_of_other_server", "offered": server.fingerprint, "expected": "ab" * 32, "secret": "token",
    }  # fmt: skip


@pytest.mark.slow
async def test_another_server_than_the_named_one_can_be_accepted(innkeeper: Deployment, server: FakeLxd) -> None:
    host = await add(innkeeper, fingerprint="ab" * 32, password=server.token())
    found = await details(innkeeper, host)
    assert (found["kind"], found["expected"]) == ("identity_unexpected", "ab" * 32)
    confirm = found["confirm"]
    accepted = await innkeeper.post(f"vm-hosts/{host['id']}/", op=confirm["op"], **{confirm["field"]: confirm["value"]})
    assert (accepted["state"], accepted["error"]) == ("ready", None)


async def test_a_changed_certificate_has_both_fingerprints(innkeeper: Deployment, server: FakeLxd) -> None:
    host = await add(innkeeper, password=server.token())
    before = server.fingerprint
    server.certificate_pem = FakeLxd(name="impostor").certificate_pem
    await refused(innkeeper, host)
    assert await details(innkeeper, host) == {
        "kind": "identity_changed", "pinned": before, "offered": server.fingerprint,
        "confirm": {"op": "trust", "field": "fingerprint", "value": server.fingerprint},
    }  # fmt: skip


async def test_a_host_of_an_earlier_release_gets_details_at_its_next_refresh(
    innkeeper: Deployment, server: FakeLxd
) -> None:
    host = await add(innkeeper)
    await sql(innkeeper, "update vm_host set error_details = null returning id")
    shown = await innkeeper.get(f"vm-hosts/{host['id']}/")
    assert (shown["error"]["code"], shown["error"]["details"]) == ("not_trusted", None)
    await refused(innkeeper, host)
    assert (await details(innkeeper, host))["kind"] == "not_trusted"


async def test_users_see_the_code_of_an_error_but_not_its_facts(innkeeper: Deployment, server: FakeLxd) -> None:
    host = await add(innkeeper, password=PHRASE)
    user = await as_user(innkeeper, "alice")
    error = (await user.get(f"vm-hosts/{host['id']}/"))["error"]
    assert (error["code"], error["details"]) == ("not_trusted", None)


@pytest.mark.parametrize(
    ("lie", "kind"),
    [
        (PeerChanged("It is mine.", reported="lxd/any", known="x", presented="rm -rf /"), None),
        (PeerChanged("It is mine.\0", presented="ab" * 32, reason="\0" * 9), "identity_changed"),
        (NotTrusted("No.", reason="\0\n" + "x" * 10**5, rejected="token", unsent="password"), "not_trusted"),
        (NotTrusted("No.", reason={"deep": [{}] * 1000}, host=1), "not_trusted"),
    ],
    ids=["another-server", "nul", "long", "no-text"],
)
async def test_a_rack_states_no_facts_that_are_not_its_own(
    rackless: Deployment, lie: InnkeeperError, kind: str | None
) -> None:
    async def discover(_: Link, call: HostCall) -> Any:
        raise lie
        yield call

    async with byzantine_rack(rackless, {HOST_DISCOVER: discover}):
        host = await rackless.add_simulated()
        found = await details(rackless, host)
        assert found.get("kind") == kind
        assert found.keys() <= {"kind", "pinned", "offered", "reason", "confirm"}
        assert found.get("confirm", {}).get("op") in (None, "trust")
        assert len(found.get("reason", "")) <= 1000
