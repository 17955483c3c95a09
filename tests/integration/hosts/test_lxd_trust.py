"""Trust of LXD servers, by command or token, and the confidentiality of its secrets."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from common.errors import InnkeeperError
from common.trust.certificates import fingerprint, load_certificate
from regiond.hosts.model import MASK, HostState
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.doubles.lxd_double import FakeLxd, FakeLxds
from tests.integration.support.rigs.lxd_hosts import add, fetched, is_ready, parameters, state
from tests.integration.support.tables import dump, rows
from tests.unit.regiond.credentials.test_key_pairs import small_pair


def url_in(text: str) -> str:
    (found,) = re.findall(r"curl -fsS (http[^ )]+)\)", text)
    return str(found)


@pytest.mark.slow
async def test_a_pending_host_shows_the_trust_command_and_continues(innkeeper: Deployment, server: FakeLxd) -> None:
    host = await add(innkeeper, name="the lab")
    assert host["total"]["cores"] == 0
    kind, code, message = await state(innkeeper, host)
    assert (kind, code) == (HostState.PENDING, "not_trusted")
    assert f"c=$(curl -fsS {innkeeper.region.api_url}vmhost-certificate/the%20lab)" in message
    assert "lxc config trust add - --name innkeeper-the-lab --restricted --projects default" in message
    assert "not HTTPS" not in message  # the region's address is on this computer
    with pytest.raises(InnkeeperError, match="lxc config trust add") as error:
        await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
    assert error.value.details["status"] == 503
    assert server.trusted == {}
    pem = await fetched(innkeeper, url_in(message))
    assert "PRIVATE" not in pem
    await innkeeper.refresh_due()  # the one that follows each addition of a host
    server.trust(pem)
    await innkeeper.after_refreshes(lambda: is_ready(innkeeper, host))
    assert (await innkeeper.get(f"vm-hosts/{host['id']}/"))["total"]["cores"] == 8
    await innkeeper.compose(host["id"])


async def test_a_token_is_used_immediately_and_deleted(innkeeper: Deployment, server: FakeLxd) -> None:
    host = await add(innkeeper, password=server.token())
    assert host["total"]["cores"] == 8
    assert list(server.trusted.values()) == ["innkeeper-hv"]
    assert await rows(innkeeper, "select name from secret") == []
    assert "password" not in await parameters(innkeeper, host)


@pytest.mark.slow
async def test_a_token_may_be_the_power_pass_that_clients_repeat(innkeeper: Deployment, server: FakeLxd) -> None:
    """Terraform, Ansible and python-libmaas have no other field for it; Terraform sends it again with each update."""
    token = server.token()
    host = await add(innkeeper, power_pass=token)
    assert host["total"]["cores"] == 8
    again = await innkeeper.put(f"vm-hosts/{host['id']}/", type="lxd", power_address="lxd1", power_pass=token)
    assert again["total"]["cores"] == 8
    assert server.seen_secrets == [token]
    assert await rows(innkeeper, "select name from secret") == []
    assert "power_pass" not in await parameters(innkeeper, host)


@pytest.mark.slow
async def test_a_power_pass_of_a_server_that_does_not_trust_us_yet_is_used(
    innkeeper: Deployment, server: FakeLxd
) -> None:
    host = await add(innkeeper)
    assert host["total"]["cores"] == 0
    changed = await innkeeper.put(f"vm-hosts/{host['id']}/", power_pass=server.token())
    assert changed["total"]["cores"] == 8


async def test_a_trust_password_can_be_set_later(innkeeper: Deployment, lxds: FakeLxds) -> None:
    phrase = "old-style password"
    server = FakeLxd(name="lxd1", secrets={phrase})
    lxds.add(server)
    host = await add(innkeeper)
    changed = await innkeeper.put(f"vm-hosts/{host['id']}/", password=phrase, trust_on_first_use="true")
    assert changed["total"]["cores"] == 8


async def test_a_token_of_another_server_is_not_sent(innkeeper: Deployment, lxds: FakeLxds, server: FakeLxd) -> None:
    other = FakeLxd(name="other")
    lxds.add(other)
    host = await add(innkeeper, password=server.token(fingerprint=other.fingerprint))
    _, code, message = await state(innkeeper, host)
    assert code == "peer_changed"
    assert server.fingerprint in message
    assert other.fingerprint in message
    assert server.seen_secrets == []
    assert (await parameters(innkeeper, host))["password"] == MASK
    good = await innkeeper.put(f"vm-hosts/{host['id']}/", password=server.token())
    assert good["total"]["cores"] == 8


@pytest.mark.slow
async def test_a_rejected_token_is_reported_and_manual_trust_still_works(
    innkeeper: Deployment, server: FakeLxd
) -> None:
    token = server.token()
    server.secrets.clear()
    host = await add(innkeeper, password=token)
    _, code, message = await state(innkeeper, host)
    assert code == "not_trusted"
    assert "LXD rejected the token (LXD: not authorized). Get one with: lxc config trust add" in message
    assert token not in message
    await innkeeper.refresh_due()  # the one that follows each addition of a host
    server.trust((await parameters(innkeeper, host))["certificate"])
    await innkeeper.after_refreshes(lambda: is_ready(innkeeper, host))
    assert server.seen_secrets == [token], "sent once, not by every discovery run"


@pytest.fixture
def incus(lxds: FakeLxds) -> FakeLxd:
    """An Incus server at the address of `server`."""
    found = FakeLxd(name="lxd1", product="Incus")
    lxds.add(found)
    return found


@pytest.mark.slow
async def test_an_incus_server_is_named_before_it_trusts_us(innkeeper: Deployment, incus: FakeLxd) -> None:
    host = await add(innkeeper, name="box")
    _, code, message = await state(innkeeper, host)
    assert code == "not_trusted"
    assert "incus config trust add-certificate - --name innkeeper-box --restricted --projects default" in message
    assert (await innkeeper.get(f"vm-hosts/{host['id']}/"))["product"] == "Incus"
    shown = await parameters(innkeeper, host)
    for text in (message, shown["trust_command"], shown["trust_command_unrestricted"]):
        assert not re.search(r"\blxc\b|LXD", text), text
    (told,) = [one for one in await innkeeper.get("attention/") if one["kind"] == "host_not_trusted"]
    assert "incus config trust add innkeeper" in told["remedy"]
    assert "lxc" not in told["remedy"]


async def test_a_host_may_be_added_as_incus_and_is_lxd_to_the_clients_of_maas(
    innkeeper: Deployment, incus: FakeLxd
) -> None:
    """They compare `type` with what they sent, and know lxd only; `product` says what answers."""
    incus.reports["product"] = "Incus"
    host = await innkeeper.post("vm-hosts/", type="incus", power_address="lxd1", name="box", password=incus.token())
    assert (host["type"], host["product"]) == ("lxd", "Incus")
    for name in ("lxd", "incus"):
        changed = await innkeeper.put(f"vm-hosts/{host['id']}/", type=name)
        assert (changed["type"], changed["product"]) == ("lxd", "Incus")
    for query, found in (("type:incus", 1), ("type:lxd", 0)):
        listed = await innkeeper.send("GET", "vm-hosts/", query=[("q", query)])
        assert len(listed.json()) == found


@pytest.mark.parametrize("trust_on_first_use", ["false", "true"])
async def test_a_secret_that_is_no_token_is_none_for_incus(
    innkeeper: Deployment, incus: FakeLxd, trust_on_first_use: str
) -> None:
    """It is sent at most as before, and then the host waits for a token; no fingerprint would help."""
    phrase = "sesame"
    host = await add(innkeeper, password=phrase, trust_on_first_use=trust_on_first_use)
    _, code, message = await state(innkeeper, host)
    assert code == "not_trusted"
    assert "The secret is no trust token, and Incus takes nothing else. Get one with: incus config trust add" in message
    assert "trust password" not in message
    assert await rows(innkeeper, "select name from secret") == []
    host = await innkeeper.put(f"vm-hosts/{host['id']}/", password=incus.token())
    assert host["total"]["cores"] == 8


async def test_a_rejected_token_of_incus_names_its_command(innkeeper: Deployment, incus: FakeLxd) -> None:
    token = incus.token()
    incus.secrets.clear()
    _, _, message = await state(innkeeper, await add(innkeeper, password=token))
    assert "Incus rejected the token (Incus: not authorized). Get one with: incus config trust add innkeeper" in message


async def test_a_changed_certificate_is_rejected_until_accepted(innkeeper: Deployment, server: FakeLxd) -> None:
    host = await add(innkeeper, password=server.token())
    server.certificate_pem = FakeLxd(name="impostor").certificate_pem
    with pytest.raises(InnkeeperError, match=server.fingerprint):
        await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
    await innkeeper.post(f"vm-hosts/{host['id']}/", op="trust", fingerprint=server.fingerprint)
    await innkeeper.after_refreshes(lambda: is_ready(innkeeper, host))


async def test_database_and_log_contain_no_private_key_and_no_token(
    tmp_path: Path, database_url: str, lxds: FakeLxds, server: FakeLxd, capfd: pytest.CaptureFixture[str]
) -> None:
    imported = small_pair()
    lxds.add(FakeLxd(name="lxd2"))
    async with deployed(tmp_path, database_url, drivers=lxds.drivers) as innkeeper:
        await innkeeper.start_rack()
        bad = server.token(fingerprint="ab" * 32)
        await add(innkeeper, "lxd2", name="other", password=bad)
        host = await add(innkeeper, password=(good := server.token()))
        await innkeeper.post(f"vm-hosts/{host['id']}/", op="rotate")
        await innkeeper.put(f"vm-hosts/{host['id']}/", certificate=imported.certificate_pem, key=imported.key_pem)
        found = await dump(innkeeper)
        responses = json.dumps([await innkeeper.get("operations/"), await innkeeper.get("vm-hosts/")])
    printed = "".join(capfd.readouterr())
    assert fingerprint(load_certificate(imported.certificate_pem)) in found, "the dump contains the tables"
    body = imported.key_pem.splitlines()[1]
    for text in (bad, good, "PRIVATE KEY", body, body.encode().hex(), b"PRIVATE KEY".hex(), bad.encode().hex()):
        for output in (found, printed, responses):
            assert text not in output
